//! Makes a release build notice a dashboard that was built after the server.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // A debug build reads the dashboard's files when it runs.
    if std::env::var("PROFILE").as_deref() == Ok("release") {
        let dist = std::path::Path::new("../frontend/dist");
        // A path that is missing would be taken for changed at every build.
        if std::fs::create_dir_all(dist).is_ok() {
            println!("cargo:rerun-if-changed={}", dist.display());
        }
    }
}
