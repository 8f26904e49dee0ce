/** A provider of somebody else, whose service file is merged with ours. */
public final class OtherProvider extends java.security.Provider {
    private static final long serialVersionUID = 1L;

    public OtherProvider() {
        super("Other", "1", "nothing");
    }
}
