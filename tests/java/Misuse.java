import com.amazonaws.cloudhsm.jce.jni.exception.AddAttributeException;
import com.amazonaws.cloudhsm.jce.provider.CloudHsmCluster;
import com.amazonaws.cloudhsm.jce.provider.CloudHsmLoggingConfig;
import com.amazonaws.cloudhsm.jce.provider.CloudHsmProviderConfig;
import com.amazonaws.cloudhsm.jce.provider.CloudHsmServer;
import com.amazonaws.cloudhsm.jce.provider.KeyStoreWithAttributes;
import com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttribute;
import com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttributesMap;
import com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttributesMapBuilder;
import com.amazonaws.cloudhsm.jce.provider.attributes.KeyPairAttributesMap;
import com.amazonaws.cloudhsm.jce.provider.attributes.KeyPairAttributesMapBuilder;
import com.amazonaws.cloudhsm.jce.provider.attributes.KeyType;
import com.amazonaws.cloudhsm.jce.provider.attributes.ObjectClassType;
import java.lang.reflect.Executable;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Constructor;
import java.lang.reflect.Modifier;
import java.math.BigInteger;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.Security;
import java.security.Signature;
import java.security.spec.ECPoint;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;

/** Calls every public method of the classes it is given with nulls, and prints the calls and the wrong exceptions. */
public final class Misuse {
    private static final Set<Class<?>> UNCHECKED =
            Set.of(NullPointerException.class, IllegalArgumentException.class, IllegalStateException.class);
    /** The interface between the provider and its engines; programs do not see it. */
    private static final Set<String> INTERNAL = Set.of("CloudHsmKeyStore", "CloudHsmRsaPrivateCrtKey");

    private static int calls;
    private static int wrong;

    public static void main(String[] names) throws Exception {
        List<Object> receivers = new ArrayList<>(List.of(Security.getProvider("CloudHSM"), CloudHsmCluster.builder(),
                CloudHsmServer.builder(), CloudHsmLoggingConfig.builder(), CloudHsmProviderConfig.builder(),
                new KeyAttributesMap(), new KeyAttributesMapBuilder(), new KeyPairAttributesMap(),
                new KeyPairAttributesMapBuilder(), KeyStoreWithAttributes.getInstance("CloudHSM")));
        KeyStoreWithAttributes loaded = KeyStoreWithAttributes.getInstance("CloudHSM");
        loaded.load(null, null);
        receivers.add(loaded);
        for (String name : names) {
            Class<?> kind = Class.forName(name);
            if (!Modifier.isPublic(kind.getModifiers()) || INTERNAL.contains(kind.getSimpleName())) {
                continue;
            }
            for (Constructor<?> constructor : kind.getConstructors()) {
                call(constructor, arguments -> constructor.newInstance(arguments));
            }
            for (Method method : kind.getDeclaredMethods()) {
                if (Modifier.isPublic(method.getModifiers()) && !method.isSynthetic()) {
                    methods(method, receivers);
                }
            }
        }
        values();
        works();
        System.out.println(calls + " " + wrong);
    }

    private interface Call {
        Object apply(Object[] arguments) throws ReflectiveOperationException;
    }

    private static void methods(Method method, List<Object> receivers) throws Exception {
        if (Modifier.isStatic(method.getModifiers())) {
            call(method, arguments -> method.invoke(null, arguments));
            return;
        }
        for (Object receiver : receivers) {
            if (method.getDeclaringClass().isInstance(receiver)) {
                call(method, arguments -> method.invoke(receiver, arguments));
            }
        }
    }

    private static void call(Executable called, Call call) throws Exception {
        Class<?>[] types = called.getParameterTypes();
        Object[] arguments = new Object[types.length];
        boolean takesObject = false;
        for (int i = 0; i < types.length; i++) {
            takesObject |= !types[i].isPrimitive();
            arguments[i] = types[i] == int.class ? (Object) 0 : types[i] == long.class ? (Object) 0L
                    : types[i] == boolean.class ? (Object) false : null;
        }
        if (!takesObject) {
            return;
        }
        calls++;
        try {
            call.apply(arguments);
        } catch (InvocationTargetException e) {
            Throwable thrown = e.getCause();
            boolean declared = List.of(called.getExceptionTypes()).stream().anyMatch(type -> type.isInstance(thrown));
            if (!declared && UNCHECKED.stream().noneMatch(type -> type.isInstance(thrown))) {
                wrong++;
                System.out.println(called + " threw " + thrown);
            }
        }
    }

    /** Each attribute takes values of its types; another value is refused, and the map stays as it was. */
    private static void values() throws Exception {
        Object[] values = {null, new Object(), "text", true, 1, 1L, new byte[1], KeyType.AES, ObjectClassType.SECRET_KEY,
            ECPoint.POINT_INFINITY, BigInteger.ONE};
        for (KeyAttribute attribute : KeyAttribute.values()) {
            int taken = 0;
            for (Object value : values) {
                KeyAttributesMap map = new KeyAttributesMap();
                try {
                    map.put(attribute, value);
                    taken++;
                } catch (AddAttributeException e) {
                    check(map.get(attribute) == null, attribute + " is there after all");
                    check(e.getMessage().contains(attribute.name()), e.getMessage());
                }
            }
            check(taken >= 1 && taken <= 2, attribute + " takes " + taken + " kinds of values");
        }
    }

    private static void works() throws Exception {
        KeyPairGenerator generator = KeyPairGenerator.getInstance("EC", "CloudHSM");
        generator.initialize(256);
        KeyPair pair = generator.generateKeyPair();
        Signature signature = Signature.getInstance("SHA256withECDSA", "CloudHSM");
        signature.initSign(pair.getPrivate());
        byte[] signed = signature.sign();
        signature.initVerify(pair.getPublic());
        check(signature.verify(signed), "the signature is wrong");
    }

    private static void check(boolean holds, String otherwise) {
        if (!holds) {
            wrong++;
            System.out.println(otherwise);
        }
    }
}
