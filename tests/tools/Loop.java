import java.security.*;
class Loop {
    public static void main(String[] a) throws Exception {
        Provider hsm = new com.amazonaws.cloudhsm.jce.provider.CloudHsmProvider();
        var attributes = new com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttributesMap();
        attributes.put(com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttribute.TOKEN, true);
        var generator = javax.crypto.KeyGenerator.getInstance("HmacSHA256", hsm);
        generator.init(attributes);
        var mac = javax.crypto.Mac.getInstance("HmacSHA256", hsm);
        var key = generator.generateKey();
        mac.init(key);
        byte[] before = mac.doFinal(new byte[16]);
        System.out.println("signing");
        try {
            while (true) {
                mac.doFinal(new byte[16]);
            }
        } catch (ProviderException lost) {
            System.out.println("lost: " + lost.getClass().getName());
        }
        System.in.read();
        // The message of the failed call is lost; without this the object says so.
        mac.init(key);
        if (!MessageDigest.isEqual(before, mac.doFinal(new byte[16]))) {
            throw new IllegalStateException("another key");
        }
        System.out.println("signed again");
    }
}
