import java.security.*;
public class Program {
    public static void main(String[] words) throws Exception {
        if (words[0].equals("exit")) {
            System.exit(Integer.parseInt(words[1]));
        }
        if (words[0].equals("throw")) {
            throw new IllegalStateException("thrown");
        }
        Provider[] all = Security.getProviders();
        System.out.println(all[all.length - 1].getName());
        KeyPairGenerator generator = KeyPairGenerator.getInstance("EC", "CloudHSM");
        generator.initialize(256);
        KeyPair pair = generator.generateKeyPair();
        Signature signature = Signature.getInstance("SHA256withECDSA");
        signature.initSign(pair.getPrivate());
        signature.update(words[1].getBytes());
        byte[] signed = signature.sign();
        Signature judge = Signature.getInstance("SHA256withECDSA", "SunEC");
        judge.initVerify(pair.getPublic());
        judge.update(words[1].getBytes());
        System.out.println(signature.getProvider().getName() + " " + judge.verify(signed));
    }
}
