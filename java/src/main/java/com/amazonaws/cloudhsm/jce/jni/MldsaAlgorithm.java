package com.amazonaws.cloudhsm.jce.jni;

/** Parameter sets of ML-DSA (FIPS 204, table 1). */
public enum MldsaAlgorithm {
    /** ML-DSA-44, category 2. */
    MlDsa44,
    /** ML-DSA-65, category 3. */
    MlDsa65,
    /** ML-DSA-87, category 5. */
    MlDsa87
}
