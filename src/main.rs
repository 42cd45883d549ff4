//! The `testament` command.

fn main() -> std::process::ExitCode {
    testament::cli::main()
}
