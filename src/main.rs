//! The `testament` command.

/// A fleet makes and forgets some dozen small things for each message, spread over hundreds of megabytes.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    testament::cli::main()
}
