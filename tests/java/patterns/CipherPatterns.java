import java.nio.ByteBuffer;
import java.security.AlgorithmParameters;
import java.security.Key;
import java.security.spec.AlgorithmParameterSpec;
import java.util.Arrays;
import java.util.Random;
import javax.crypto.Cipher;

/** The call patterns of {@link Cipher} for one transformation and direction, with input of some sizes. */
public final class CipherPatterns {
    private static final int[] SIZES = {0, 1, 15, 16, 17, 32, 33, 64, 1000};
    /** Bytes of data for a modulus of 256 bytes. */
    private static final int[] RSA_SIZES = {0, 1, 64, 256, 1000};
    private static final int PLENTY = 4096;

    private final Comparison comparison;
    private final String transformation;
    private final boolean encrypts;
    private final AlgorithmParameterSpec parameters;
    /** Whether both sides must give the same bytes; else the same lengths in all. */
    private final boolean isFixed;
    private String title;
    private byte[] input;
    /** How many bytes come out, 0 if the input is refused. */
    private int full;

    private CipherPatterns(Comparison comparison, String transformation, boolean encrypts, AlgorithmParameterSpec parameters) {
        this.comparison = comparison;
        this.transformation = transformation;
        this.encrypts = encrypts;
        this.parameters = parameters;
        boolean isRandom = transformation.contains("GCM") || transformation.startsWith("RSA") && !transformation.contains("No");
        isFixed = !encrypts || !isRandom;
    }

    /** Compares all patterns. */
    public static void run(Comparison comparison, String transformation, boolean encrypts, AlgorithmParameterSpec parameters)
            throws Exception {
        CipherPatterns patterns = new CipherPatterns(comparison, transformation, encrypts, parameters);
        Random random = new Random(1);
        for (int size : transformation.startsWith("RSA") ? RSA_SIZES : SIZES) {
            byte[] plain = new byte[size];
            random.nextBytes(plain);
            if (size > 0) {
                plain[0] &= 0x7f; // a number less than the modulus
            }
            patterns.with("given " + size, plain);
            if (!encrypts) {
                byte[] sealed = patterns.sealed(plain);
                if (sealed != null) {
                    patterns.with("sealed " + size, sealed);
                }
            }
        }
        patterns.states();
    }

    private byte[] sealed(byte[] plain) {
        try {
            Cipher cipher = Cipher.getInstance(transformation, comparison.theirs().provider());
            cipher.init(Cipher.ENCRYPT_MODE, key(comparison.theirs(), true), parameters);
            associate(cipher);
            return cipher.doFinal(plain);
        } catch (Exception e) {
            return null;
        }
    }

    private void with(String what, byte[] data) {
        title = transformation + (encrypts ? " encrypt " : " decrypt ") + what + ": ";
        input = data;
        try {
            full = begun(comparison.theirs()).doFinal(input).length;
        } catch (Exception e) {
            full = 0;
        }
        whole();
        afterUpdates();
        overlapping();
        buffers();
        again();
    }

    private Key key(Comparison.Side side, boolean toEncrypt) {
        String kind = transformation.substring(0, transformation.indexOf('/'));
        return !kind.equals("RSA") ? side.secrets().get(kind)
                : toEncrypt ? side.pairs().get(kind).getPublic() : side.pairs().get(kind).getPrivate();
    }

    private Cipher made(Comparison.Side side) throws Exception {
        return Cipher.getInstance(transformation, side.provider());
    }

    private void init(Comparison.Side side, Cipher cipher) throws Exception {
        boolean choosesIv = encrypts && transformation.contains("GCM");
        cipher.init(encrypts ? Cipher.ENCRYPT_MODE : Cipher.DECRYPT_MODE, key(side, encrypts), choosesIv ? null : parameters);
        associate(cipher);
    }

    private void associate(Cipher cipher) {
        if (transformation.contains("GCM")) {
            cipher.updateAAD(new byte[20]);
        }
    }

    private Cipher begun(Comparison.Side side) throws Exception {
        Cipher cipher = made(side);
        init(side, cipher);
        return cipher;
    }

    /** Returns bytes that came out, in a form that is the same on both sides. */
    private Object shown(byte[] out) {
        return isFixed || out == null ? out : Integer.valueOf(out.length);
    }

    private Object part(byte[] out) {
        return isFixed ? (out == null ? new byte[0] : out) : "some";
    }

    private void cell(String pattern, Comparison.Script script) {
        comparison.cell(title + pattern, script);
    }

    private int[] rooms() {
        return Arrays.stream(new int[] {0, full - 17, full - 16, full - 8, full - 1, full, full + 1, input.length, PLENTY})
                .filter(room -> room >= 0).distinct().toArray();
    }

    private void whole() {
        cell("doFinal(in)", (side, trace) -> {
            Cipher cipher = begun(side);
            trace.note("size", cipher.getOutputSize(input.length));
            trace.call("doFinal", () -> shown(cipher.doFinal(input)));
        });
        cell("doFinal(in, offset, length)", (side, trace) -> {
            byte[] wide = Arrays.copyOf(new byte[7], input.length + 20);
            System.arraycopy(input, 0, wide, 7, input.length);
            trace.call("doFinal", () -> shown(begun(side).doFinal(wide, 7, input.length)));
        });
        for (int room : rooms()) {
            cell("doFinal into room for " + room, (side, trace) -> {
                Cipher cipher = begun(side);
                last(cipher, trace, input, 0, room);
            });
            cell("doFinal into room for " + room + " at an offset", (side, trace) -> {
                Cipher cipher = begun(side);
                byte[] out = new byte[room + 5];
                Integer count = trace.call("doFinal", () -> cipher.doFinal(input, 0, input.length, out, 5));
                trace.note("out", count == null ? null : part(Arrays.copyOfRange(out, 5, 5 + count)));
            });
        }
    }

    /** Finishes into an array with that room; where it is too short, once more into one a byte longer, and into plenty. */
    private void last(Cipher cipher, Comparison.Trace trace, byte[] data, int offset, int room) {
        for (int size : new int[] {room, room + 1, PLENTY}) {
            byte[] out = new byte[size];
            Integer count = trace.call("doFinal", () -> cipher.doFinal(data, offset, data.length - offset, out, 0));
            if (!trace.threw("ShortBufferException")) {
                trace.note("out", count == null ? null : part(Arrays.copyOf(out, count)));
                return;
            }
            trace.note("size", cipher.getOutputSize(data.length - offset));
        }
    }

    private int[] splits() {
        return Arrays.stream(new int[] {1, input.length / 2, input.length - 1, input.length})
                .filter(split -> split > 0 && split <= input.length).distinct().toArray();
    }

    private void afterUpdates() {
        for (int split : splits()) {
            cell("update(" + split + "), doFinal(in)", (side, trace) -> {
                Cipher cipher = begun(side);
                trace.call("update", () -> part(cipher.update(input, 0, split)));
                trace.note("size", isFixed ? cipher.getOutputSize(0) + " " + cipher.getOutputSize(100) : "some");
                trace.call("doFinal", () -> part(cipher.doFinal(input, split, input.length - split)));
            });
            cell("update(" + split + "), doFinal()", (side, trace) -> {
                Cipher cipher = begun(side);
                trace.call("update", () -> part(cipher.update(Arrays.copyOf(input, split))));
                trace.call("doFinal", () -> part(cipher.doFinal()));
            });
            for (int room : new int[] {0, split - 16, split - 1, split, split / 16 * 16, split / 8 * 8, PLENTY}) {
                if (room >= 0) {
                    updateInto(split, room);
                    finishInto(split, room);
                }
            }
        }
    }

    private void updateInto(int split, int room) {
        cell("update(" + split + ") into room for " + room, (side, trace) -> {
            Cipher cipher = begun(side);
            byte[] out = new byte[room];
            Integer count = trace.call("update", () -> encryptsInParts(cipher.update(input, 0, split, out, 0)));
            if (trace.threw("ShortBufferException")) {
                trace.call("update", () -> part(cipher.update(input, 0, split)));
            } else if (count != null) {
                trace.note("out", part(Arrays.copyOf(out, count)));
            }
            trace.call("doFinal", () -> part(cipher.doFinal(input, split, input.length - split)));
        });
    }

    /** How much comes out before the end is not compared where the bytes are not. */
    private int encryptsInParts(int count) {
        return isFixed ? count : 0;
    }

    private void finishInto(int split, int room) {
        cell("update(" + split + "), doFinal into room for " + room, (side, trace) -> {
            Cipher cipher = begun(side);
            trace.call("update", () -> part(cipher.update(input, 0, split)));
            if (isFixed) {
                last(cipher, trace, input, split, room);
            } else {
                trace.call("doFinal", () -> part(cipher.doFinal()));
            }
        });
    }

    private void overlapping() {
        for (int shift : new int[] {0, 1, -1, 16, -16, 40}) {
            cell("doFinal in place, shifted by " + shift, (side, trace) -> {
                byte[] array = new byte[PLENTY];
                System.arraycopy(input, 0, array, 64, input.length);
                Cipher cipher = begun(side);
                Integer count = trace.call("doFinal", () -> cipher.doFinal(array, 64, input.length, array, 64 + shift));
                trace.note("out", count == null ? null : part(Arrays.copyOfRange(array, 64 + shift, 64 + shift + count)));
            });
            cell("update and doFinal in place, shifted by " + shift, (side, trace) -> {
                byte[] array = new byte[PLENTY];
                System.arraycopy(input, 0, array, 64, input.length);
                int split = input.length / 2;
                Cipher cipher = begun(side);
                Integer first = trace.call("update", () -> cipher.update(array, 64, split, array, 64 + shift));
                int to = 64 + shift + (first == null ? 0 : first);
                Integer count = trace.call("doFinal", () -> cipher.doFinal(array, 64 + split, input.length - split, array, to));
                trace.note("out", count == null ? null : part(Arrays.copyOfRange(array, 64 + shift, to + count)));
            });
        }
    }

    /** How a buffer of the program may be. */
    private enum Kind {
        HEAP, SLICE, DIRECT, READ_ONLY;

        ByteBuffer of(byte[] content) {
            ByteBuffer wide = this == DIRECT ? ByteBuffer.allocateDirect(content.length + 9) : ByteBuffer.allocate(content.length + 9);
            wide.position(4).limit(4 + content.length);
            if (this == SLICE) {
                wide = wide.slice();
            }
            wide.duplicate().put(content);
            return this == READ_ONLY ? wide.asReadOnlyBuffer() : wide;
        }
    }

    private void buffers() {
        int size;
        try {
            size = begun(comparison.theirs()).getOutputSize(input.length);
        } catch (Exception e) {
            throw new IllegalStateException(e);
        }
        for (Kind in : Kind.values()) {
            for (Kind out : Kind.values()) {
                for (int room : new int[] {0, full - 1, full, size - 1, size, PLENTY}) {
                    if (room >= 0) {
                        buffer(in, out, room);
                    }
                }
            }
        }
        for (int shift : new int[] {0, 1, -1, 16, -16}) {
            cell("doFinal of buffers in place, shifted by " + shift, (side, trace) -> {
                byte[] array = new byte[PLENTY];
                System.arraycopy(input, 0, array, 64, input.length);
                ByteBuffer out = ByteBuffer.wrap(array).position(64 + shift);
                Cipher cipher = begun(side);
                Integer count = trace.call("doFinal", () -> cipher.doFinal(ByteBuffer.wrap(array, 64, input.length), out));
                trace.note("out", count == null ? null : part(Arrays.copyOfRange(array, 64 + shift, out.position())));
            });
        }
    }

    private void buffer(Kind in, Kind out, int room) {
        String kinds = " of " + in + " into " + out + " for " + room;
        cell("doFinal" + kinds, (side, trace) -> finish(begun(side), trace, in.of(input), out.of(new byte[room])));
        cell("update, doFinal" + kinds, (side, trace) -> {
            Cipher cipher = begun(side);
            int split = input.length / 2;
            ByteBuffer source = in.of(input);
            source.limit(source.position() + split);
            ByteBuffer target = out.of(new byte[room]);
            trace.call("update", () -> encryptsInParts(cipher.update(source, target)));
            trace.note("left", source.remaining());
            source.limit(source.limit() + input.length - split);
            if (isFixed) {
                finish(cipher, trace, source, out.of(new byte[PLENTY]));
            }
        });
    }

    private void finish(Cipher cipher, Comparison.Trace trace, ByteBuffer source, ByteBuffer target) {
        int from = target.position();
        Integer count = trace.call("doFinal", () -> cipher.doFinal(source, target));
        trace.note("positions", source.remaining() + " " + (target.position() - from));
        if (count != null) {
            byte[] out = new byte[count];
            target.duplicate().position(from).get(out);
            trace.note("out", part(out));
        } else if (trace.text().contains("!ShortBufferException") && source.hasRemaining()) {
            ByteBuffer plenty = ByteBuffer.allocate(PLENTY);
            trace.call("doFinal", () -> cipher.doFinal(source, plenty));
            trace.note("out", part(Arrays.copyOf(plenty.array(), plenty.position())));
        }
    }

    private void again() {
        cell("doFinal twice", (side, trace) -> {
            Cipher cipher = begun(side);
            trace.call("doFinal", () -> part(cipher.doFinal(input)));
            trace.call("doFinal", () -> part(cipher.doFinal(input)));
        });
        cell("update, init, doFinal", (side, trace) -> {
            Cipher cipher = begun(side);
            trace.call("update", () -> part(cipher.update(input)));
            init(side, cipher);
            trace.call("doFinal", () -> shown(cipher.doFinal(input)));
        });
        cell("doFinal of 7 bytes, init, doFinal", (side, trace) -> {
            Cipher cipher = begun(side);
            trace.call("doFinal", () -> part(cipher.doFinal(new byte[7])));
            init(side, cipher);
            trace.call("doFinal", () -> shown(cipher.doFinal(input)));
        });
        cell("update byte by byte", (side, trace) -> {
            Cipher cipher = begun(side);
            for (int i = 0; i < Math.min(input.length, 50); i++) {
                byte[] one = {input[i]};
                trace.call("update", () -> part(cipher.update(one)));
            }
            trace.call("doFinal", () -> part(cipher.doFinal()));
        });
    }

    private void states() {
        title = transformation + (encrypts ? " encrypt" : " decrypt") + ": ";
        byte[] some = new byte[16];
        cell("without init", (side, trace) -> {
            Cipher cipher = made(side);
            trace.call("update", () -> cipher.update(some));
            trace.call("doFinal", () -> cipher.doFinal(some));
            trace.call("getOutputSize", () -> cipher.getOutputSize(1));
            trace.call("updateAAD", () -> aad(cipher, some));
            trace.call("getBlockSize", cipher::getBlockSize);
        });
        cell("wrap and unwrap", (side, trace) -> {
            Cipher cipher = begun(side);
            trace.call("wrap", () -> cipher.wrap(side.secrets().get("AES")));
            trace.call("unwrap", () -> cipher.unwrap(some, "AES", Cipher.SECRET_KEY));
        });
        cell("nulls and wrong places", (side, trace) -> {
            Cipher cipher = begun(side);
            trace.call("update", () -> cipher.update((byte[]) null));
            trace.call("update", () -> cipher.update(some, -1, 3));
            trace.call("update", () -> cipher.update(some, 0, 17));
            trace.call("doFinal", () -> cipher.doFinal(some, 16, 1));
            trace.call("doFinal", () -> cipher.doFinal((byte[]) null));
            trace.call("doFinal", () -> cipher.doFinal(ByteBuffer.allocate(1), null));
            ByteBuffer one = ByteBuffer.allocate(100);
            trace.call("doFinal", () -> cipher.doFinal(one, one));
        });
        cell("AAD after data", (side, trace) -> {
            Cipher cipher = begun(side);
            cipher.update(some);
            trace.call("updateAAD", () -> aad(cipher, some));
        });
        cell("init that fails", (side, trace) -> {
            Cipher cipher = begun(side);
            trace.call("init", () -> refused(cipher, (Key) null));
            trace.call("doFinal", () -> cipher.doFinal(some));
            init(side, cipher);
            trace.call("init", () -> refused(cipher, side.pairs().get("EC").getPrivate()));
            trace.call("update", () -> cipher.update(some));
        });
        cell("parameters", (side, trace) -> {
            AlgorithmParameters used = begun(side).getParameters();
            trace.note("parameters", used == null ? null : used.getAlgorithm());
            trace.note("iv", shown(encrypts && transformation.contains("GCM") ? null : begun(side).getIV()));
        });
    }

    private static Object refused(Cipher cipher, Key key) throws Exception {
        cipher.init(Cipher.ENCRYPT_MODE, key);
        return null;
    }

    private static Object aad(Cipher cipher, byte[] data) {
        cipher.updateAAD(data);
        return null;
    }
}
