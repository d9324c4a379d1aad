//! Checks that each mistake in `ui/` fails to compile with exactly the error text in the file next to it.

#[test]
fn mistakes() {
    trybuild::TestCases::new().compile_fail("ui/*.rs");
}
