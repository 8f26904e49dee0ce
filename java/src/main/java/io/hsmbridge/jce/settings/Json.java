package io.hsmbridge.jce.settings;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Parses a JSON text (RFC 8259), because the JDK has no parser: objects as {@link Map}, arrays as {@link List},
 * strings, whole numbers as {@link Long}, others as {@link Double}, booleans and null. A duplicate name in an object is
 * an error, and so is nesting deeper than 64 levels.
 */
final class Json {
    private static final int MAX_DEPTH = 64;
    private static final String ESCAPED = "\"\\/bfnrt";
    private static final String MEANT = "\"\\/\b\f\n\r\t";

    private final String text;
    private int at;

    private Json(String text) {
        this.text = text;
    }

    /**
     * Returns the value of the text.
     *
     * @throws IllegalArgumentException if the text is not valid; the message names line and column
     */
    static Object parse(String text) {
        Json reader = new Json(text);
        Object value = reader.value(0);
        if (reader.peek() != '\0' || reader.at < text.length()) {
            throw reader.wrong("nothing more");
        }
        return value;
    }

    private Object value(int depth) {
        if (depth > MAX_DEPTH) {
            throw wrong("less nesting");
        }
        switch (peek()) {
            case '{':
                return object(depth + 1);
            case '[':
                return array(depth + 1);
            case '"':
                return string();
            case 't':
                return word("true", Boolean.TRUE);
            case 'f':
                return word("false", Boolean.FALSE);
            case 'n':
                return word("null", null);
            default:
                return number();
        }
    }

    private Map<String, Object> object(int depth) {
        Map<String, Object> members = new LinkedHashMap<>();
        at++;
        if (peek() == '}') {
            at++;
            return members;
        }
        do {
            if (peek() != '"') {
                throw wrong("a name in quotes");
            }
            String name = string();
            take(':');
            if (members.containsKey(name)) {
                throw wrong("another name than \"" + name + "\", which is there already");
            }
            members.put(name, value(depth));
        } while (goesOn('}'));
        return members;
    }

    private List<Object> array(int depth) {
        List<Object> items = new ArrayList<>();
        at++;
        if (peek() == ']') {
            at++;
            return items;
        }
        do {
            items.add(value(depth));
        } while (goesOn(']'));
        return items;
    }

    private boolean goesOn(char end) {
        char next = peek();
        if (next != ',' && next != end) {
            throw wrong("',' or '" + end + "'");
        }
        at++;
        return next == ',';
    }

    private String string() {
        StringBuilder read = new StringBuilder();
        at++;
        while (at < text.length() && text.charAt(at) >= ' ') {
            char next = text.charAt(at++);
            if (next == '"') {
                return read.toString();
            }
            read.append(next == '\\' ? escaped() : next);
        }
        throw wrong("the end of a string");
    }

    private char escaped() {
        char kind = at < text.length() ? text.charAt(at++) : '\0';
        int known = ESCAPED.indexOf(kind);
        if (known >= 0) {
            return MEANT.charAt(known);
        }
        int end = at + 4;
        if (kind != 'u' || end > text.length() || !text.substring(at, end).matches("[0-9a-fA-F]{4}")) {
            throw wrong("an escape");
        }
        char read = (char) Integer.parseInt(text.substring(at, end), 16);
        at = end;
        return read;
    }

    private Object number() {
        int end = at;
        while (end < text.length() && "+-.0123456789eE".indexOf(text.charAt(end)) >= 0) {
            end++;
        }
        String read = text.substring(at, end);
        if (!read.matches("-?(0|[1-9][0-9]*)(\\.[0-9]+)?([eE][+-]?[0-9]+)?")) {
            throw wrong("a value");
        }
        at = end;
        try {
            return Long.valueOf(read);
        } catch (NumberFormatException notWhole) {
            return Double.valueOf(read);
        }
    }

    private Object word(String word, Object value) {
        if (!text.startsWith(word, at)) {
            throw wrong("a value");
        }
        at += word.length();
        return value;
    }

    private void take(char expected) {
        if (peek() != expected) {
            throw wrong("'" + expected + "'");
        }
        at++;
    }

    /** Skips white space and returns the next character, NUL at the end. */
    private char peek() {
        while (at < text.length() && " \t\r\n".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
        return at < text.length() ? text.charAt(at) : '\0';
    }

    private IllegalArgumentException wrong(String expected) {
        String before = text.substring(0, Math.min(at, text.length()));
        long line = before.chars().filter(character -> character == '\n').count() + 1;
        return new IllegalArgumentException(
                "line " + line + ", column " + (before.length() - before.lastIndexOf('\n')) + ": expected " + expected);
    }
}
