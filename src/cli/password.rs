//! Where passwords come from: a command, a file, the environment, a prompt; never an argument.

use std::{fs, io, path::PathBuf, process::Command};

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::{environment, failure::Failure};

/// How often a mistyped password may be typed again.
pub const PROMPTS_MAX: usize = 3;

/// One place to take a password from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    Command(String),
    File(PathBuf),
    /// The value of ICECORE_PASSWORD.
    Environment,
    Prompt,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read the password from {path}")]
    File { path: String, source: io::Error },
    #[error("cannot run the password command `{command}`")]
    Command { command: String, source: io::Error },
    #[error("the password command `{command}` failed: {status}")]
    CommandFailed { command: String, status: std::process::ExitStatus },
    #[error("the password command `{command}` has quotes that do not match")]
    Quotes { command: String },
    #[error("the password from {place} is not valid UTF-8")]
    NotText { place: String },
    #[error(
        "cannot ask for the password here: without a terminal --password-file or \
         ICECORE_PASSWORD_FILE says where it is"
    )]
    Prompt(#[source] io::Error),
    #[error(
        "cannot ask for the new password here: without a terminal --new-password-file says where \
         it is"
    )]
    PromptForNew(#[source] io::Error),
}

impl Source {
    /// Flags first, then the environment, then a prompt. Two of one rank contradict each other.
    pub fn choose(command: Option<String>, file: Option<PathBuf>) -> Result<Source, Failure> {
        match (command, file) {
            (Some(_), Some(_)) => Err(Failure::Usage(
                "--password-command and --password-file exclude each other".into(),
            )),
            (Some(command), None) => Ok(Source::Command(command)),
            (None, Some(file)) => Ok(Source::File(file)),
            (None, None) => Source::from_environment(),
        }
    }

    fn from_environment() -> Result<Source, Failure> {
        let command = environment::text("ICECORE_PASSWORD_COMMAND")?.map(Source::Command);
        let file = environment::path("ICECORE_PASSWORD_FILE").map(Source::File);
        let value = environment::text("ICECORE_PASSWORD")?.map(|_| Source::Environment);
        let mut set = command.into_iter().chain(file).chain(value);
        let first = set.next();
        if set.next().is_some() {
            return Err(Failure::Usage(
                "more than one of ICECORE_PASSWORD, ICECORE_PASSWORD_FILE and \
                 ICECORE_PASSWORD_COMMAND is set"
                    .into(),
            ));
        }
        Ok(first.unwrap_or(Source::Prompt))
    }

    /// A password that opens something; asked for once.
    pub fn read(&self, prompt: &str) -> Result<SecretString, Failure> {
        let password = match self {
            Source::Command(command) => of_command(command)?,
            Source::File(path) => of_file(path)?,
            Source::Environment => {
                environment::text("ICECORE_PASSWORD")?.unwrap_or_default().into()
            }
            Source::Prompt => ask(prompt)?,
        };
        if password.expose_secret().is_empty() {
            return Err(Failure::Usage("the password is empty".into()));
        }
        Ok(password)
    }

    /// A password that will be set: at a prompt, asked for twice.
    pub fn read_new(&self, prompt: &str) -> Result<SecretString, Failure> {
        let password = self.read(prompt)?;
        if *self == Source::Prompt {
            let again = ask("the same again: ")?;
            if again.expose_secret() != password.expose_secret() {
                return Err(Failure::Usage("the two passwords differ".into()));
            }
        }
        Ok(password)
    }
}

/// As it is told where the new password has flags of its own, beside those of the old one.
pub fn of_the_new(failure: Failure) -> Failure {
    let Failure::Because(error) = failure else { return failure };
    match error.downcast::<Error>() {
        Ok(error) => match *error {
            Error::Prompt(source) => Error::PromptForNew(source).into(),
            error => error.into(),
        },
        Err(error) => Failure::Because(error),
    }
}

fn of_command(command: &str) -> Result<SecretString, Failure> {
    let words =
        shell_words::split(command).map_err(|_| Error::Quotes { command: command.to_owned() })?;
    let Some((program, arguments)) = words.split_first() else {
        return Err(Failure::Usage("the password command is empty".into()));
    };
    let output = Command::new(program)
        .args(arguments)
        .stderr(std::process::Stdio::inherit())
        .stdin(std::process::Stdio::inherit())
        .output()
        .map_err(|source| Error::Command { command: command.to_owned(), source })?;
    if !output.status.success() {
        let status = output.status;
        return Err(Error::CommandFailed { command: command.to_owned(), status }.into());
    }
    first_line(output.stdout, "the password command")
}

fn of_file(path: &std::path::Path) -> Result<SecretString, Failure> {
    let name = path.display().to_string();
    let bytes = fs::read(path).map_err(|source| Error::File { path: name.clone(), source })?;
    first_line(bytes, &name)
}

/// Without its end, which editors and `echo` add; anything else of it belongs to the password.
fn first_line(bytes: Vec<u8>, place: &str) -> Result<SecretString, Failure> {
    let bytes = Zeroizing::new(bytes);
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let text = std::str::from_utf8(line).map_err(|_| Error::NotText { place: place.to_owned() })?;
    Ok(text.into())
}

// rpassword takes Ctrl-C itself while the terminal shows nothing, and says so.
fn ask(prompt: &str) -> Result<SecretString, Failure> {
    match rpassword::prompt_password(prompt) {
        Ok(password) => Ok(password.into()),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(Failure::Interrupted),
        Err(error) => Err(Error::Prompt(error).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_without_its_end() {
        let read = |bytes: &[u8]| first_line(bytes.to_vec(), "here").unwrap();
        assert_eq!(read(b"secret\n").expose_secret(), "secret");
        assert_eq!(read(b"secret\r\n").expose_secret(), "secret");
        assert_eq!(read(b" two words ").expose_secret(), " two words ");
        assert_eq!(read(b"line\nanother\n").expose_secret(), "line");
        assert!(first_line(vec![0xff], "here").is_err());
    }

    #[test]
    fn commands_run_without_a_shell() {
        let read = |command: &str| Source::Command(command.into()).read("");
        assert_eq!(read("printf '%s\\n' 'a b $HOME'").unwrap().expose_secret(), "a b $HOME");
        assert!(read("false").is_err());
        assert!(read("printf ''").is_err(), "an empty password");
        assert!(read("echo 'open").is_err());
        assert!(read("/nowhere/such-a-program").is_err());
    }

    #[test]
    fn the_flags_of_the_new_password_are_named_where_it_has_its_own() {
        let cannot = || Failure::from(Error::Prompt(io::ErrorKind::NotFound.into()));
        assert!(cannot().lines()[0].contains(" --password-file"));
        assert!(of_the_new(cannot()).lines()[0].contains(" --new-password-file"));
        assert!(matches!(of_the_new(Failure::Interrupted), Failure::Interrupted));
    }
}
