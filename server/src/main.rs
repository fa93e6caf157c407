//! The `limelight` program: reads the command line, does what it says, tells by its exit code how
//! it went. What cannot even begin ends with one line on stderr and exit code 1.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::Parser;
use limelight_server::{
    auth,
    cli::{self, Cli, Command},
    config::Settings,
};

fn main() -> ExitCode {
    dispatch(Cli::parse()).unwrap_or_else(|error| {
        // Nobody is left to tell when stderr is closed.
        let _ = writeln!(io::stderr(), "limelight: {error:#}");
        ExitCode::FAILURE
    })
}

fn dispatch(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Serve(settings) => {
            let config = cli.global.load(*settings)?;
            auth::secret::make_data_dir(&config.data_dir)?;
            actix_rt::System::new().block_on(cli::serve::serve(config))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Migrate(args) => {
            let config = cli.global.load(Settings::default())?;
            actix_rt::System::new().block_on(cli::migrate::migrate(&config, &args))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::User(args) => {
            let config = cli.global.load(Settings::default())?;
            auth::secret::make_data_dir(&config.data_dir)?;
            actix_rt::System::new().block_on(cli::user::user(&config, &args))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Bench(args) => {
            actix_rt::System::new().block_on(cli::bench::bench(&cli.global, &args))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Run(args) => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            Ok(runtime.block_on(cli::run::run(&cli.global, args)))
        }
        Command::Token(args) => {
            let config = cli.global.load(Settings::default())?;
            let token = cli::token::mint(&config, &args)?;
            writeln!(io::stdout(), "{token}")?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
