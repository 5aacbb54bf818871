//! Tells the crate how far it is optimised, which cargo tells build scripts alone; and the linker of
//! macOS that Python's symbols are found when the extension is loaded.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-env=OPT_LEVEL={}", env::var("OPT_LEVEL").unwrap_or_default());
    if env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "macos") {
        println!("cargo::rustc-cdylib-link-arg=-undefined");
        println!("cargo::rustc-cdylib-link-arg=dynamic_lookup");
    }
}
