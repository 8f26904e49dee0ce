package io.hsmbridge.jce.wire;

import java.nio.BufferUnderflowException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Encodes and decodes the tagged values of the message protocol: null, {@link Boolean}, {@link Long}, {@code byte[]} or
 * {@link Slice}, {@link String} in UTF-8, {@link List}, {@link Map}. Integers are big-endian; lists and maps nest at
 * most eight levels deep.
 */
public final class Values {
    private static final int MAX_DEPTH = 8;
    private static final byte NULL = 0;
    private static final byte FALSE = 1;
    private static final byte TRUE = 2;
    private static final byte INTEGER = 3;
    private static final byte BYTES = 4;
    private static final byte TEXT = 5;
    private static final byte LIST = 6;
    private static final byte MAP = 7;

    private Values() {}

    /** A range of a byte array, encoded without a copy. */
    public static final class Slice {
        private final byte[] array;
        private final int offset;
        private final int length;

        /** Creates the value of its parts. */
        public Slice(byte[] array, int offset, int length) {
            this.array = array;
            this.offset = offset;
            this.length = length;
        }

        /** Returns the array. */
        public byte[] array() {
            return array;
        }

        /** Returns the index of the first byte. */
        public int offset() {
            return offset;
        }

        /** Returns the number of bytes. */
        public int length() {
            return length;
        }
    }

    /** Returns an upper bound for the encoded length of a value, in bytes. */
    public static int size(Object value) {
        if (value instanceof byte[]) {
            return 5 + ((byte[]) value).length;
        }
        if (value instanceof Slice) {
            return 5 + ((Slice) value).length();
        }
        if (value instanceof String) {
            return 5 + 3 * ((String) value).length();
        }
        int size = 9;
        if (value instanceof List) {
            for (Object item : (List<?>) value) {
                size += size(item);
            }
        } else if (value instanceof Map) {
            for (Map.Entry<?, ?> pair : ((Map<?, ?>) value).entrySet()) {
                size += size(pair.getKey()) + size(pair.getValue());
            }
        }
        return size;
    }

    /**
     * Appends a value to the buffer, which must have {@link #size} bytes left.
     *
     * @throws IllegalArgumentException if the value's class has no encoding
     */
    public static void write(ByteBuffer out, Object value) {
        if (value instanceof byte[]) {
            byte[] bytes = (byte[]) value;
            out.put(BYTES).putInt(bytes.length).put(bytes);
        } else if (value instanceof Slice) {
            Slice slice = (Slice) value;
            out.put(BYTES).putInt(slice.length()).put(slice.array(), slice.offset(), slice.length());
        } else if (value instanceof Long || value instanceof Integer) {
            out.put(INTEGER).putLong(((Number) value).longValue());
        } else if (value instanceof String) {
            writeText(out.put(TEXT), (String) value);
        } else if (value == null) {
            out.put(NULL);
        } else if (value instanceof Boolean) {
            out.put((Boolean) value ? TRUE : FALSE);
        } else if (value instanceof List) {
            out.put(LIST).putInt(((List<?>) value).size());
            for (Object item : (List<?>) value) {
                write(out, item);
            }
        } else if (value instanceof Map) {
            out.put(MAP).putInt(((Map<?, ?>) value).size());
            for (Map.Entry<?, ?> pair : ((Map<?, ?>) value).entrySet()) {
                writeText(out, (String) pair.getKey());
                write(out, pair.getValue());
            }
        } else {
            throw new IllegalArgumentException("A " + value.getClass().getName() + " has no encoding");
        }
    }

    private static void writeText(ByteBuffer out, String text) {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        out.putInt(bytes.length).put(bytes);
    }

    /**
     * Returns the values between the buffer's position and its limit.
     *
     * @throws WireException if they do not decode
     */
    public static List<Object> readAll(ByteBuffer in) throws WireException {
        List<Object> values = new ArrayList<>(2);
        try {
            while (in.hasRemaining()) {
                values.add(read(in, 0));
            }
        } catch (BufferUnderflowException e) {
            throw new WireException("A value is longer than its frame");
        }
        return values;
    }

    private static Object read(ByteBuffer in, int depth) throws WireException {
        byte tag = in.get();
        switch (tag) {
            case NULL:
                return null;
            case FALSE:
                return Boolean.FALSE;
            case TRUE:
                return Boolean.TRUE;
            case INTEGER:
                return in.getLong();
            case BYTES:
                return readBytes(in);
            case TEXT:
                return new String(readBytes(in), StandardCharsets.UTF_8);
            case LIST:
            case MAP:
                if (depth >= MAX_DEPTH) {
                    throw new WireException("Values nest deeper than " + MAX_DEPTH);
                }
                return tag == LIST ? readList(in, depth + 1) : readMap(in, depth + 1);
            default:
                throw new WireException("Unknown tag of a value: " + tag);
        }
    }

    private static byte[] readBytes(ByteBuffer in) {
        byte[] bytes = new byte[checkedCount(in, in.getInt())];
        in.get(bytes);
        return bytes;
    }

    private static List<Object> readList(ByteBuffer in, int depth) throws WireException {
        int count = checkedCount(in, in.getInt());
        List<Object> list = new ArrayList<>(count);
        for (int i = 0; i < count; i++) {
            list.add(read(in, depth));
        }
        return list;
    }

    private static Map<String, Object> readMap(ByteBuffer in, int depth) throws WireException {
        int count = checkedCount(in, in.getInt());
        Map<String, Object> map = new LinkedHashMap<>();
        for (int i = 0; i < count; i++) {
            String key = new String(readBytes(in), StandardCharsets.UTF_8);
            map.put(key, read(in, depth));
        }
        return map;
    }

    private static int checkedCount(ByteBuffer in, int count) {
        if (count < 0 || count > in.remaining()) {
            throw new BufferUnderflowException();
        }
        return count;
    }
}
