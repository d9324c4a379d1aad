//! Each mistake in `ui/` fails to compile with the text next to it, and with no other error.

#[test]
fn mistakes() {
    trybuild::TestCases::new().compile_fail("ui/*.rs");
}
