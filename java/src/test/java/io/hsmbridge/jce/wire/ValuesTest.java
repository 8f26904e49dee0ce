package io.hsmbridge.jce.wire;

import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/** Checks the codec: it reads the values that it wrote, and refuses truncated ones. */
public final class ValuesTest {
    private ValuesTest() {}

    /** Runs the checks. */
    public static void main(String[] arguments) throws WireException {
        Object[] fields = {null, true, false, -7L, "text \u00e9", new byte[] {1, 2}, List.of(1L, "x"), Map.of("k", 3L)};
        ByteBuffer frame = ByteBuffer.allocate(512);
        Frame.writeRequest(frame, Operation.SIGN, 9, 42, fields);
        int length = Frame.length(frame);
        check(length == frame.limit(), "length");
        check(Frame.status(frame) == Operation.SIGN, "operation");
        frame.position(Frame.HEADER_LENGTH);
        List<Object> read = Values.readAll(frame);
        check(Arrays.deepEquals(fields, read.toArray()), "round trip");
        int refused = 0;
        for (int end = Frame.HEADER_LENGTH + 1; end < length; end++) {
            try {
                Values.readAll(frame.clear().limit(end).position(Frame.HEADER_LENGTH));
            } catch (WireException e) {
                refused++;
            }
        }
        check(refused > 0, "truncation");
        System.out.println("ValuesTest passed, " + refused + " truncations refused");
    }

    private static void check(boolean right, String behaviour) {
        if (!right) {
            throw new AssertionError(behaviour);
        }
    }
}
