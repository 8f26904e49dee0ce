package io.hsmbridge.jce.wire;

import java.nio.ByteBuffer;

/** The 24-byte header of a frame: length, version, reserved, operation or status, session token, request id. */
public final class Frame {
    /** Length of the header, in bytes. */
    public static final int HEADER_LENGTH = 24;
    /** Longest frame, in bytes, header included (64 MiB). */
    public static final int MAX_LENGTH = 64 * 1024 * 1024;
    /** The protocol version that is spoken here. */
    public static final int VERSION = 1;

    /** Length of what stands between header and data in a REPEAT, in bytes. */
    public static final int REPEAT_LENGTH = 12;

    private static final int LENGTH_FIELD = 4;

    private Frame() {}

    /** Writes a request at offset 0 of a buffer that is large enough, and sets position 0 and limit to its ends. */
    public static void writeRequest(ByteBuffer out, int operation, long session, Object[] fields) {
        out.clear();
        out.position(HEADER_LENGTH);
        for (Object field : fields) {
            Values.write(out, field);
        }
        out.flip();
        out.putInt(0, out.limit() - LENGTH_FIELD).put(4, (byte) VERSION).put(5, (byte) 0);
        out.putShort(6, (short) operation).putLong(8, session).putLong(16, 0);
    }

    /** Writes a REPEAT, likewise: a use with this number again, with data in two parts. */
    public static void writeRepeat(ByteBuffer out, long session, long number, byte[] first, Values.Slice rest) {
        out.clear();
        out.putInt(HEADER_LENGTH - LENGTH_FIELD + REPEAT_LENGTH + first.length + rest.length());
        out.put((byte) VERSION).put((byte) 0).putShort((short) Operation.REPEAT).putLong(session).putLong(0);
        out.putLong(number).putInt(first.length).put(first).put(rest.array(), rest.offset(), rest.length());
        out.flip();
    }

    /** Returns the length of the frame that begins at offset 0, in bytes, header included. */
    public static int length(ByteBuffer frame) throws WireException {
        int length = frame.getInt(0) + LENGTH_FIELD;
        if (length < HEADER_LENGTH || length > MAX_LENGTH) {
            throw new WireException("A frame of " + length + " bytes is not one of this protocol");
        }
        return length;
    }

    /** Returns the session token of the frame at offset 0. */
    public static long session(ByteBuffer frame) {
        return frame.getLong(8);
    }

    /** Returns the request id of the frame at offset 0; in a response it may be the number of a repeatable use. */
    public static long id(ByteBuffer frame) {
        return frame.getLong(16);
    }

    /** Returns the operation or status of the frame at offset 0. */
    public static int status(ByteBuffer frame) {
        return frame.getShort(6) & 0xffff;
    }
}
