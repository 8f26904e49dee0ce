package io.hsmbridge.jce.spi;

/** Bytes in hexadecimal digits; Java 11 has no class for it. */
final class Hexadecimal {
    private static final int BASE = 16;

    private Hexadecimal() {}

    /** Returns two lower-case digits for each byte. */
    static String encode(byte[] bytes) {
        StringBuilder text = new StringBuilder();
        for (byte one : bytes) {
            text.append(Character.forDigit(one >> 4 & 0xF, BASE)).append(Character.forDigit(one & 0xF, BASE));
        }
        return text.toString();
    }

    /** Returns the bytes of an even number of digits. */
    static byte[] decode(String digits) {
        byte[] bytes = new byte[digits.length() / 2];
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] = (byte) Integer.parseInt(digits.substring(2 * i, 2 * i + 2), BASE);
        }
        return bytes;
    }
}
