//! The binary: nothing but the allocator and the call.

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    controller::commands::execute(controller::cli::Cli::parse())
}
