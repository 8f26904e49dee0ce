package io.hsmbridge.jce.wire;

import java.nio.ByteBuffer;

/** The 24-byte header of a frame: length, version, reserved, operation or status, session token, request id. */
public final class Frame {
    /** Length of the header, in bytes. */
    public static final int HEADER_LENGTH = 24;
    /** Longest frame, in bytes, header included (64 MiB). */
    public static final int MAX_LENGTH = 64 * 1024 * 1024;
    /** The protocol version of this code. */
    public static final int VERSION = 1;

    /** Length of the fields between header and data in a REPEAT, in bytes. */
    public static final int REPEAT_LENGTH = 12;

    private static final int LENGTH_FIELD = 4;

    private Frame() {}

    /**
     * Writes a request at offset 0 of a buffer, and sets position and limit to its ends. {@link Values#size} bounds the
     * space that its fields need.
     *
     * @param id the request id; 0 if the HSM may answer with the number of a prepared operation
     */
    public static void writeRequest(ByteBuffer out, int operation, long id, long session, Object[] fields) {
        out.clear();
        out.position(HEADER_LENGTH);
        for (Object field : fields) {
            Values.write(out, field);
        }
        out.flip();
        out.putInt(0, out.limit() - LENGTH_FIELD).put(4, (byte) VERSION).put(5, (byte) 0);
        out.putShort(6, (short) operation).putLong(8, session).putLong(16, id);
    }

    /**
     * Writes a REPEAT at offset 0 of a buffer, and sets position and limit to its ends.
     *
     * @param number the number of a prepared operation
     * @param first first part of the data; see {@code bridge/PROTOCOL.md}
     * @param rest second part of the data
     */
    public static void writeRepeat(ByteBuffer out, long session, long number, byte[] first, Values.Slice rest) {
        out.clear();
        out.putInt(HEADER_LENGTH - LENGTH_FIELD + REPEAT_LENGTH + first.length + rest.length());
        out.put((byte) VERSION).put((byte) 0).putShort((short) Operation.REPEAT).putLong(session).putLong(0);
        out.putLong(number).putInt(first.length).put(first).put(rest.array(), rest.offset(), rest.length());
        out.flip();
    }

    /**
     * Returns the length of the frame at offset 0, in bytes, with its header.
     *
     * @throws WireException if the length is out of range
     */
    public static int length(ByteBuffer frame) throws WireException {
        int length = frame.getInt(0) + LENGTH_FIELD;
        if (length < HEADER_LENGTH || length > MAX_LENGTH) {
            throw new WireException("The length of a frame is out of range: " + length + " bytes");
        }
        return length;
    }

    /** Returns the session token of the frame at offset 0. */
    public static long session(ByteBuffer frame) {
        return frame.getLong(8);
    }

    /** Returns the request id of the frame at offset 0; in a response it may be the number of a prepared operation. */
    public static long id(ByteBuffer frame) {
        return frame.getLong(16);
    }

    /** Returns the operation or status of the frame at offset 0. */
    public static int status(ByteBuffer frame) {
        return frame.getShort(6) & 0xffff;
    }
}
