"""Many clients at once: some JVMs of sixteen threads each, and nobody is left waiting."""

from __future__ import annotations

import subprocess
from pathlib import Path

from bridge.carriers.jvm import provider_jar
from tests.conftest import repeated

from .conftest import Desk

_HERE = Path(__file__).parent
JVMS, THREADS, OPERATIONS = repeated(2, 4), 16, repeated(10, 40)

PROGRAM = """
import java.security.*;
import java.util.concurrent.*;
import javax.crypto.*;
public class Crowd {
    public static void main(String[] words) throws Exception {
        int threads = Integer.parseInt(words[0]);
        int operations = Integer.parseInt(words[1]);
        Provider hsm = new com.amazonaws.cloudhsm.jce.provider.CloudHsmProvider();
        KeyPairGenerator generator = KeyPairGenerator.getInstance("EC", hsm);
        generator.initialize(256);
        KeyPair pair = generator.generateKeyPair();
        KeyGenerator secrets = KeyGenerator.getInstance("AES", hsm);
        secrets.init(256);
        SecretKey key = secrets.generateKey();
        ConcurrentMap<Integer, Integer> done = new ConcurrentHashMap<>();
        ExecutorService pool = Executors.newFixedThreadPool(threads);
        // All begin together, and each goes on until the slowest has done its part.
        CyclicBarrier start = new CyclicBarrier(threads);
        CountDownLatch slowest = new CountDownLatch(threads);
        for (int i = 0; i < threads; i++) {
            int number = i;
            pool.submit(() -> {
                start.await();
                while (slowest.getCount() > 0) {
                    Signature signature = Signature.getInstance("SHA256withECDSA", hsm);
                    signature.initSign(pair.getPrivate());
                    signature.update(new byte[number]);
                    signature.sign();
                    Cipher cipher = Cipher.getInstance("AES/GCM/NoPadding", hsm);
                    cipher.init(Cipher.ENCRYPT_MODE, key);
                    cipher.doFinal(new byte[1024]);
                    if (done.merge(number, 1, Integer::sum) == operations) {
                        slowest.countDown();
                    }
                }
                return null;
            });
        }
        slowest.await();
        pool.shutdown();
        pool.awaitTermination(60, TimeUnit.SECONDS);
        System.out.println(done.values().stream().mapToInt(Integer::intValue).min().getAsInt());
    }
}
"""


def test_nobody_starves(desk: Desk) -> None:
    (desk.folder / "Crowd.java").write_text(PROGRAM)
    jar = str(provider_jar())
    subprocess.run(["javac", "-cp", jar, "Crowd.java"], cwd=desk.folder, check=True)
    command = ["java", "-cp", f".:{jar}", "Crowd", str(THREADS), str(OPERATIONS)]
    crowd = [
        subprocess.Popen(command, cwd=desk.folder, env=desk.site.environment, stdout=subprocess.PIPE, text=True)
        for _ in range(JVMS)
    ]
    for program in crowd:
        said, _ = program.communicate(timeout=300)
        assert program.returncode == 0
        assert int(said) >= OPERATIONS
    assert desk.site.must("status", "--json")


def test_large_data_of_many_threads(desk: Desk) -> None:
    """There are fewer large buffers than threads; whoever finds none has one made."""
    jar = str(provider_jar())
    subprocess.run(["javac", "-d", desk.folder, "-cp", jar, _HERE / "LargeData.java"], check=True)
    right = f"{8 * 24} of {8 * 24}"
    arguments = ("-cp", f"{desk.folder}:{jar}", "LargeData", "8")
    over_the_socket = subprocess.run(
        ["java", *arguments], env=desk.site.environment, capture_output=True, text=True, timeout=300
    )
    assert over_the_socket.stdout.strip() == right, over_the_socket
    desk.site.must("stop")
    assert desk.site.must("java", *arguments).strip() == right
    desk.site.must("start")
