//! ACL rules: what `ACL LIST` and the aclfile say of a user makes the same user again.
//!
//! The first byte has options. Each line after it is a rule.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| thegiant::fuzzing::acl_rules(data));
