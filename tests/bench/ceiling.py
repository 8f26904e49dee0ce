"""The limit: the operations of ``Bench.java`` called from Python, with no bridge in between.

It is told what to do and answers as ``Bench.java`` does.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.padding import PKCS7

Work = Callable[[], object]


def cells(sizes: list[int]) -> Iterator[tuple[str, Work]]:
    """Yield each operation by the name it has in ``Bench.java``."""
    for size in sizes:
        yield from _symmetric(size)
    digest = os.urandom(32)
    pkcs1, prehashed = padding.PKCS1v15(), Prehashed(hashes.SHA256())
    for bits in (2048, 3072, 4096):
        key = rsa.generate_private_key(65537, bits)
        signed, public = key.sign(digest, pkcs1, prehashed), key.public_key()
        yield f"RSA-{bits} sign", lambda key=key: key.sign(digest, pkcs1, prehashed)
        yield f"RSA-{bits} verify", lambda p=public, s=signed: p.verify(s, digest, pkcs1, prehashed)
    for name, curve, algorithm in (
        ("P-256", ec.SECP256R1(), hashes.SHA256()),
        ("P-384", ec.SECP384R1(), hashes.SHA384()),
    ):
        pair, scheme, data = (
            ec.generate_private_key(curve),
            ec.ECDSA(Prehashed(algorithm)),
            os.urandom(algorithm.digest_size),
        )
        half, made = pair.public_key(), pair.sign(data, scheme)
        yield f"{name} sign", lambda k=pair, d=data, s=scheme: k.sign(d, s)
        yield f"{name} verify", lambda k=half, m=made, d=data, s=scheme: k.verify(m, d, s)
    key = rsa.generate_private_key(65537, 2048)
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    sealed = key.public_key().encrypt(digest, oaep)
    yield "RSA-2048 OAEP encrypt", lambda: key.public_key().encrypt(digest, oaep)
    yield "RSA-2048 OAEP decrypt", lambda: key.decrypt(sealed, oaep)


def _symmetric(size: int) -> Iterator[tuple[str, Work]]:
    data, key, iv = os.urandom(size), os.urandom(32), os.urandom(16)
    aead = AESGCM(key)
    sealed = aead.encrypt(iv[:12], data, None)
    algorithm = AES(key)
    hmac = HMAC(key, hashes.SHA256())

    def cbc_encrypt() -> bytes:
        padder, context = PKCS7(128).padder(), Cipher(algorithm, modes.CBC(iv)).encryptor()
        return context.update(padder.update(data) + padder.finalize()) + context.finalize()

    encrypted = cbc_encrypt()

    def cbc_decrypt() -> bytes:
        unpadder, context = PKCS7(128).unpadder(), Cipher(algorithm, modes.CBC(iv)).decryptor()
        return unpadder.update(context.update(encrypted) + context.finalize()) + unpadder.finalize()

    def ctr() -> bytes:
        context = Cipher(algorithm, modes.CTR(iv)).encryptor()
        return context.update(data) + context.finalize()

    def mac() -> bytes:
        context = hmac.copy()
        context.update(data)
        return context.finalize()

    def digest() -> bytes:
        context = hashes.Hash(hashes.SHA256())
        context.update(data)
        return context.finalize()

    sized = f" {size} B"
    yield "AES-256-GCM encrypt" + sized, lambda: aead.encrypt(iv[:12], data, None)
    yield "AES-256-CBC encrypt" + sized, cbc_encrypt
    yield "AES-256-CTR encrypt" + sized, ctr
    yield "AES-256-GCM decrypt" + sized, lambda: aead.decrypt(iv[:12], sealed, None)
    yield "AES-256-CBC decrypt" + sized, cbc_decrypt
    yield "HMAC-SHA256" + sized, mac
    yield "SHA-256" + sized, digest


def measure(work: Work, threads: int, seconds: float) -> float:
    """Return operations per second of that many threads together."""
    counts = [0] * threads
    barrier = threading.Barrier(threads + 1)

    def run(place: int) -> None:
        barrier.wait()
        end, count = time.perf_counter() + seconds, 0
        while time.perf_counter() < end:
            work()
            count += 1
        counts[place] = count

    running = [threading.Thread(target=run, args=(place,)) for place in range(threads)]
    for thread in running:
        thread.start()
    barrier.wait()
    start = time.perf_counter()
    for thread in running:
        thread.join()
    return sum(counts) / (time.perf_counter() - start)


def main() -> None:
    """Print the names of the cells, then measure those that are asked for."""
    works = dict(cells([int(size) for size in sys.argv[1].split(",")]))
    print(*works, "", sep="\n", flush=True)
    for line in sys.stdin:
        name, threads, milliseconds = line.rstrip("\n").split("\t")
        print(round(measure(works[name], int(threads), int(milliseconds) / 1000)), flush=True)


if __name__ == "__main__":
    main()
