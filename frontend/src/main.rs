//! Entry point of the dashboard; everything is in the library so that it can be tested natively.

fn main() {
    limelight_frontend::run();
}
