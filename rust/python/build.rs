//! Tells the crate how far it is optimised; cargo tells this to build scripts alone.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-env=OPT_LEVEL={}", env::var("OPT_LEVEL").unwrap_or_default());
}
