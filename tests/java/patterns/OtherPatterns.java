import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.security.Key;
import java.security.KeyFactory;
import java.security.KeyPair;
import java.security.Signature;
import java.security.interfaces.ECPublicKey;
import java.security.interfaces.RSAPrivateCrtKey;
import java.security.interfaces.RSAPublicKey;
import java.security.spec.AlgorithmParameterSpec;
import java.security.spec.ECGenParameterSpec;
import java.security.spec.ECPoint;
import java.security.spec.ECPublicKeySpec;
import java.security.spec.EdDSAParameterSpec;
import java.security.spec.EncodedKeySpec;
import java.security.spec.KeySpec;
import java.security.spec.MGF1ParameterSpec;
import java.security.spec.PKCS8EncodedKeySpec;
import java.security.spec.PSSParameterSpec;
import java.security.spec.RSAPrivateCrtKeySpec;
import java.security.spec.RSAPublicKeySpec;
import java.security.spec.X509EncodedKeySpec;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.Random;
import javax.crypto.Mac;
import javax.crypto.spec.IvParameterSpec;

/** The call patterns of {@link Mac}, {@link Signature} and {@link KeyFactory}. */
public final class OtherPatterns {
    private static final int[] SIZES = {0, 1, 15, 16, 17, 32, 33, 64, 1000, 70_000};

    private OtherPatterns() {}

    private static byte[] data(int size) {
        byte[] data = new byte[size];
        new Random(size).nextBytes(data);
        return data;
    }

    /** Gives data to an engine in one way. */
    private interface Feed<E> {
        void update(E engine, byte[] data) throws Exception;
    }

    private static ByteBuffer buffer(byte[] data, boolean direct) {
        ByteBuffer made = direct ? ByteBuffer.allocateDirect(data.length + 8) : ByteBuffer.allocate(data.length + 8);
        made.position(3).limit(3 + data.length);
        made.duplicate().put(data);
        return made;
    }

    /** Compares all patterns of a MAC. */
    public static void mac(Comparison comparison, String name) {
        Map<String, Feed<Mac>> feeds = new HashMap<>();
        feeds.put("array", Mac::update);
        feeds.put("offset", (mac, data) -> mac.update(buffer(data, false).array(), 3, data.length));
        feeds.put("heap buffer", (mac, data) -> mac.update(buffer(data, false)));
        feeds.put("direct buffer", (mac, data) -> mac.update(buffer(data, true)));
        feeds.put("read-only buffer", (mac, data) -> mac.update(buffer(data, false).asReadOnlyBuffer()));
        feeds.put("two parts", (mac, data) -> {
            mac.update(data, 0, data.length / 3);
            mac.update(data, data.length / 3, data.length - data.length / 3);
        });
        feeds.put("bytes", (mac, data) -> {
            for (int i = 0; i < Math.min(70, data.length); i++) {
                mac.update(data[i]);
            }
        });
        for (int size : SIZES) {
            byte[] data = data(size);
            feeds.forEach((way, feed) -> comparison.cell(name + " " + size + ": " + way, (side, trace) -> {
                Mac mac = mac(side, name);
                for (int round = 0; round < 2; round++) {
                    feed.update(mac, data);
                    trace.call("doFinal", mac::doFinal);
                }
                feed.update(mac, data);
                mac.reset();
                trace.call("doFinal", () -> mac.doFinal(data));
                feed.update(mac, data);
                mac.init(side.secrets().get("HMAC"));
                trace.call("doFinal", () -> mac.doFinal(data));
            }));
            for (int room : new int[] {0, 19, 20, 31, 32, 63, 64, 100}) {
                comparison.cell(name + " " + size + ": into room for " + room, (side, trace) -> {
                    Mac mac = mac(side, name);
                    mac.update(data);
                    byte[] out = new byte[room];
                    trace.call("doFinal", () -> into(mac, out, 0));
                    trace.note("out", out);
                    trace.call("doFinal", mac::doFinal);
                    trace.call("doFinal", () -> into(mac, new byte[100], 40));
                });
            }
        }
        macStates(comparison, name);
    }

    private static Object into(Mac mac, byte[] out, int offset) throws Exception {
        mac.doFinal(out, offset);
        return out;
    }

    private static Mac mac(Comparison.Side side, String name) throws Exception {
        Mac mac = Mac.getInstance(name, side.provider());
        mac.init(side.secrets().get("HMAC"));
        return mac;
    }

    private static void macStates(Comparison comparison, String name) {
        comparison.cell(name + ": without init", (side, trace) -> {
            Mac mac = Mac.getInstance(name, side.provider());
            trace.call("update", () -> updated(mac, new byte[1]));
            trace.call("doFinal", mac::doFinal);
            mac.reset();
        });
        comparison.cell(name + ": wrong arguments", (side, trace) -> {
            Mac mac = mac(side, name);
            trace.note("length", mac.getMacLength());
            trace.call("update", () -> updated(mac, null));
            trace.call("update", () -> {
                mac.update(new byte[4], 2, 3);
                return null;
            });
            trace.call("init", () -> initialised(mac, null, null));
            trace.call("init", () -> initialised(mac, side.pairs().get("RSA").getPrivate(), null));
            trace.call("init", () -> initialised(mac, side.secrets().get("HMAC"), new IvParameterSpec(new byte[16])));
        });
    }

    private static Object updated(Mac mac, byte[] data) {
        mac.update(data);
        return null;
    }

    private static Object initialised(Mac mac, Key key, AlgorithmParameterSpec spec) throws Exception {
        mac.init(key, spec);
        return null;
    }

    /** Compares all patterns of a signature with one of the sides' pairs. */
    public static void signature(Comparison comparison, String name, String pair, boolean isFixed, PSSParameterSpec pss) {
        Map<String, Feed<Signature>> feeds = new HashMap<>();
        feeds.put("array", Signature::update);
        feeds.put("offset", (engine, data) -> engine.update(buffer(data, false).array(), 3, data.length));
        feeds.put("heap buffer", (engine, data) -> engine.update(buffer(data, false)));
        feeds.put("direct buffer", (engine, data) -> engine.update(buffer(data, true)));
        feeds.put("read-only buffer", (engine, data) -> engine.update(buffer(data, false).asReadOnlyBuffer()));
        feeds.put("bytes", (engine, data) -> {
            for (byte each : Arrays.copyOf(data, Math.min(70, data.length))) {
                engine.update(each);
            }
        });
        for (int size : SIZES) {
            byte[] data = data(size);
            feeds.forEach((way, feed) -> comparison.cell(name + " " + size + ": " + way, (side, trace) -> {
                KeyPair keys = side.pairs().get(pair);
                Signature engine = Signature.getInstance(name, side.provider());
                configure(engine, pss);
                byte[] signed = null;
                for (int round = 0; round < 2; round++) {
                    engine.initSign(keys.getPrivate());
                    feed.update(engine, data);
                    signed = engine.sign();
                    trace.note("signed", isFixed ? signed : "some");
                }
                byte[] good = signed;
                engine.initVerify(comparison.theirs().pairs().get(pair).getPublic());
                feed.update(engine, data);
                trace.call("verify", () -> engine.verify(good));
                feed.update(engine, data);
                trace.call("verify, again", () -> engine.verify(good));
                feed.update(engine, data);
                trace.call("verify, with an offset", () -> engine.verify(Arrays.copyOf(good, good.length + 3), 0, good.length));
                feed.update(engine, data);
                engine.update((byte) 1);
                trace.call("verify, other data", () -> engine.verify(good));
                feed.update(engine, data);
                engine.initVerify(keys.getPublic());
                feed.update(engine, data);
                trace.call("verify, initialised in between", () -> engine.verify(good));
            }));
        }
        wrongSignatures(comparison, name, pair, pss);
        signatureStates(comparison, name, pair, pss);
        parameters(comparison, name, pair, pss);
    }

    private static void configure(Signature engine, PSSParameterSpec pss) throws Exception {
        if (pss != null) {
            engine.setParameter(pss);
        }
    }

    private static Signature signer(Comparison.Side side, String name, String pair, PSSParameterSpec pss) throws Exception {
        Signature engine = Signature.getInstance(name, side.provider());
        configure(engine, pss);
        engine.initSign(side.pairs().get(pair).getPrivate());
        return engine;
    }

    private static void wrongSignatures(Comparison comparison, String name, String pair, PSSParameterSpec pss) {
        for (int change : new int[] {-300, -1, 0, 1, 2}) {
            comparison.cell(name + ": verify, changed by " + change, (side, trace) -> {
                Signature engine = signer(comparison.theirs(), name, pair, pss);
                engine.update(new byte[32]);
                byte[] good = engine.sign();
                byte[] wrong = Arrays.copyOf(good, Math.max(0, good.length + change));
                if (change == 0) {
                    wrong[wrong.length - 1] ^= 1;
                }
                Signature reader = Signature.getInstance(name, side.provider());
                configure(reader, pss);
                reader.initVerify(side.pairs().get(pair).getPublic());
                reader.update(new byte[32]);
                trace.call("verify", () -> reader.verify(wrong));
                reader.update(new byte[32]);
                trace.call("verify, after", () -> reader.verify(good));
            });
        }
    }

    private static void signatureStates(Comparison comparison, String name, String pair, PSSParameterSpec pss) {
        byte[] some = new byte[32];
        comparison.cell(name + ": without init", (side, trace) -> {
            Signature engine = Signature.getInstance(name, side.provider());
            trace.call("update", () -> updated(engine, some));
            trace.call("sign", engine::sign);
            trace.call("verify", () -> engine.verify(some));
        });
        comparison.cell(name + ": the other way", (side, trace) -> {
            Signature engine = signer(side, name, pair, pss);
            trace.call("verify", () -> engine.verify(some));
            engine.initVerify(side.pairs().get(pair).getPublic());
            trace.call("sign", engine::sign);
        });
        comparison.cell(name + ": keys that do not fit", (side, trace) -> {
            Signature engine = signer(side, name, pair, pss);
            trace.call("initSign", () -> signing(engine, null));
            trace.call("update", () -> updated(engine, some));
            trace.call("initSign", () -> signing(engine, side.pairs().get(pair.equals("EC") ? "RSA" : "EC")));
            trace.call("initVerify", () -> {
                engine.initVerify(side.pairs().get(pair.equals("EC") ? "RSA" : "EC").getPublic());
                return null;
            });
        });
        for (int room : new int[] {0, 8, 200, 1000}) {
            comparison.cell(name + ": sign into room for " + room, (side, trace) -> {
                Signature engine = signer(side, name, pair, pss);
                engine.update(some);
                trace.call("sign", () -> engine.sign(new byte[room], 0, room) > 0);
                engine.update(some);
                trace.call("sign, after", () -> engine.sign().length > 0);
                trace.call("sign, out of the array", () -> engine.sign(new byte[8], 4, 8));
            });
        }
        comparison.cell(name + ": update, wrong places", (side, trace) -> {
            Signature engine = signer(side, name, pair, pss);
            trace.call("update", () -> updated(engine, null));
            trace.call("update", () -> {
                engine.update(some, 30, 3);
                return null;
            });
        });
    }

    private static Object updated(Signature engine, byte[] data) throws Exception {
        engine.update(data);
        return null;
    }

    private static Object signing(Signature engine, KeyPair pair) throws Exception {
        engine.initSign(pair == null ? null : pair.getPrivate());
        return null;
    }

    private static void parameters(Comparison comparison, String name, String pair, PSSParameterSpec pss) {
        Map<String, AlgorithmParameterSpec> specs = new HashMap<>();
        specs.put("null", null);
        specs.put("an IV", new IvParameterSpec(new byte[16]));
        specs.put("another curve", new ECGenParameterSpec("secp256r1"));
        specs.put("plain EdDSA", new EdDSAParameterSpec(false));
        specs.put("EdDSA with a hash", new EdDSAParameterSpec(true));
        specs.put("the key's curve", ((ECPublicKey) comparison.theirs().pairs().get("EC").getPublic()).getParams());
        specs.put("PSS", pss(32, "SHA-256", "SHA-256", 1));
        specs.put("PSS of SHA-512", pss(64, "SHA-512", "SHA-512", 1));
        specs.put("PSS of two hashes", pss(32, "SHA-256", "SHA-1", 1));
        specs.put("PSS of MD5", pss(16, "MD5", "MD5", 1));
        specs.put("PSS of no hash", pss(16, "RC4", "RC4", 1));
        specs.put("PSS with another trailer", pss(32, "SHA-256", "SHA-256", 2));
        specs.put("PSS without a salt", pss(0, "SHA-256", "SHA-256", 1));
        specs.put("PSS with the longest salt", pss(222, "SHA-256", "SHA-256", 1));
        specs.put("PSS with too long a salt", pss(223, "SHA-256", "SHA-256", 1));
        specs.forEach((what, spec) -> {
            comparison.cell(name + ": parameters before init, " + what, (side, trace) -> {
                Signature engine = Signature.getInstance(name, side.provider());
                trace.call("setParameter", () -> configured(engine, spec));
                trace.call("initSign", () -> signing(engine, side.pairs().get(pair)));
                trace.call("update", () -> updated(engine, new byte[32]));
                trace.call("sign", () -> engine.sign().length > 0);
            });
            comparison.cell(name + ": parameters after init, " + what, (side, trace) -> {
                Signature engine = signer(side, name, pair, pss);
                trace.call("setParameter", () -> configured(engine, spec));
                engine.update(new byte[32]);
                trace.call("sign", () -> engine.sign().length > 0);
                trace.call("setParameter", () -> configured(engine, spec));
            });
            comparison.cell(name + ": parameters in mid-message, " + what, (side, trace) -> {
                Signature engine = signer(side, name, pair, pss);
                engine.update(new byte[32]);
                trace.call("setParameter", () -> configured(engine, spec));
                byte[] signed = engine.sign();
                Signature reader = Signature.getInstance(name, comparison.theirs().provider());
                configure(reader, pss);
                reader.initVerify(comparison.theirs().pairs().get(pair).getPublic());
                reader.update(new byte[32]);
                trace.call("verify", () -> reader.verify(signed));
            });
        });
    }

    private static PSSParameterSpec pss(int salt, String hash, String mgf, int trailer) {
        return new PSSParameterSpec(hash, "MGF1", new MGF1ParameterSpec(mgf), salt, trailer);
    }

    private static Object configured(Signature engine, AlgorithmParameterSpec spec) throws Exception {
        engine.setParameter(spec);
        return null;
    }

    /** Compares all patterns of a key factory. */
    public static void keyFactory(Comparison comparison, String name) throws Exception {
        KeyPair pair = comparison.theirs().pairs().get(name);
        byte[] open = pair.getPublic().getEncoded();
        byte[] secret = pair.getPrivate().getEncoded();
        Map<String, KeySpec> specs = new HashMap<>();
        specs.put("null", null);
        specs.put("X.509", new X509EncodedKeySpec(open));
        specs.put("X.509, cut", new X509EncodedKeySpec(Arrays.copyOf(open, open.length - 1)));
        specs.put("X.509, empty", new X509EncodedKeySpec(new byte[0]));
        specs.put("PKCS #8", new PKCS8EncodedKeySpec(secret));
        specs.put("PKCS #8, cut", new PKCS8EncodedKeySpec(Arrays.copyOf(secret, secret.length - 1)));
        specs.put("X.509 with a private key", new X509EncodedKeySpec(secret));
        specs.put("PKCS #8 with a public key", new PKCS8EncodedKeySpec(open));
        specs.put("of another class", new KeySpec() {});
        specs.put("another encoding", new EncodedKeySpec(open) {
            @Override
            public String getFormat() {
                return "X.509";
            }
        });
        if (pair.getPublic() instanceof RSAPublicKey) {
            RSAPrivateCrtKey key = (RSAPrivateCrtKey) pair.getPrivate();
            specs.put("numbers", new RSAPublicKeySpec(key.getModulus(), key.getPublicExponent()));
            specs.put("private numbers", new RSAPrivateCrtKeySpec(key.getModulus(), key.getPublicExponent(),
                    key.getPrivateExponent(), key.getPrimeP(), key.getPrimeQ(), key.getPrimeExponentP(),
                    key.getPrimeExponentQ(), key.getCrtCoefficient()));
            specs.put("an exponent of 1", new RSAPublicKeySpec(key.getModulus(), BigInteger.ONE));
        } else {
            ECPublicKey key = (ECPublicKey) pair.getPublic();
            specs.put("a point", new ECPublicKeySpec(key.getW(), key.getParams()));
            specs.put("a point off the curve", new ECPublicKeySpec(new ECPoint(BigInteger.ONE, BigInteger.ONE), key.getParams()));
        }
        specs.forEach((what, spec) -> {
            comparison.cell(name + ": generatePublic, " + what, (side, trace) -> trace.call("generatePublic",
                    () -> KeyFactory.getInstance(name, side.provider()).generatePublic(spec).getEncoded()));
            comparison.cell(name + ": generatePrivate, " + what, (side, trace) -> trace.call("generatePrivate",
                    () -> KeyFactory.getInstance(name, side.provider()).generatePrivate(spec).getAlgorithm()));
        });
        translations(comparison, name);
    }

    private static void translations(Comparison comparison, String name) {
        comparison.cell(name + ": translateKey", (side, trace) -> {
            KeyFactory factory = KeyFactory.getInstance(name, side.provider());
            KeyPair foreign = comparison.theirs().pairs().get(name);
            trace.call("public", () -> factory.translateKey(foreign.getPublic()).getEncoded());
            trace.call("private", () -> factory.translateKey(foreign.getPrivate()).getAlgorithm());
            trace.call("own", () -> factory.translateKey(side.pairs().get(name).getPrivate()).equals(
                    side.pairs().get(name).getPrivate()));
            trace.call("null", () -> factory.translateKey(null));
            trace.call("other", () -> factory.translateKey(comparison.theirs().pairs().get(name.equals("EC") ? "RSA" : "EC").getPublic()));
        });
        for (Class<? extends KeySpec> kind : Arrays.asList(X509EncodedKeySpec.class, RSAPublicKeySpec.class,
                ECPublicKeySpec.class, PKCS8EncodedKeySpec.class, KeySpec.class, null)) {
            comparison.cell(name + ": getKeySpec, " + kind, (side, trace) -> {
                KeyFactory factory = KeyFactory.getInstance(name, side.provider());
                trace.call("public", () -> described(factory.getKeySpec(side.pairs().get(name).getPublic(), kind)));
                trace.call("private", () -> described(factory.getKeySpec(side.pairs().get(name).getPrivate(), kind)));
                trace.call("null", () -> factory.getKeySpec(null, kind));
            });
        }
    }

    private static Object described(KeySpec spec) {
        if (spec instanceof EncodedKeySpec) {
            return ((EncodedKeySpec) spec).getEncoded();
        }
        return spec instanceof ECPublicKeySpec ? ((ECPublicKeySpec) spec).getW().getAffineX()
                : ((RSAPublicKeySpec) spec).getModulus();
    }
}
