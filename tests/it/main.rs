//! One test binary: the list of integration tests.
