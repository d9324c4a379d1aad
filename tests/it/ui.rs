//! Each mistake in `ui/` fails to compile with exactly the errors in the file next to it.

#[test]
fn mistakes_have_helpful_errors() {
    trybuild::TestCases::new().compile_fail("ui/*.rs");
}
