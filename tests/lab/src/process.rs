//! Processes that end with us.

use std::collections::BTreeSet;
use std::fs::File;
use std::hash::{BuildHasher as _, RandomState};
use std::net::TcpListener;
use std::ops::Range;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// A process that was started here and is stopped by its own id.
#[derive(Debug)]
pub struct Process {
    name: &'static str,
    child: Child,
}

type Job = (Command, Sender<std::io::Result<Child>>);

/// Starts `command` from one thread that lives as long as this process.
///
/// `setpriv --pdeathsig` has the kernel kill the child when its parent dies. To the kernel the
/// parent is the *thread* that forked, and test threads end early: hence the thread of its own.
fn spawn_from_keeper(command: Command) -> Result<Child> {
    static KEEPER: OnceLock<Sender<Job>> = OnceLock::new();
    let keeper = KEEPER.get_or_init(|| {
        let (jobs, queue) = channel::<Job>();
        std::thread::spawn(move || {
            for (mut command, reply) in queue {
                // Whoever asked may be gone; then there is nobody to tell.
                let _ = reply.send(command.spawn());
            }
        });
        jobs
    });
    let (reply, answer) = channel();
    keeper
        .send((command, reply))
        .map_err(|_| anyhow!("the keeper thread ended"))?;
    Ok(answer.recv()??)
}

impl Process {
    /// Starts `program` with `arguments`; what it writes is added to the file `log`.
    ///
    /// It gets a process group of its own, so that Ctrl-C at a terminal reaches us first and the
    /// end is in good order.
    ///
    /// # Errors
    /// When the program can't be started or the log can't be opened.
    pub fn start(
        name: &'static str,
        program: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
        log: &Path,
    ) -> Result<Self> {
        let log = File::options().create(true).append(true).open(log)?;
        let mut command = tied_to_us(program);
        command
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        Self::spawn(name, command)
    }

    /// The same with pipes for stdin and stdout, for a child that is talked to.
    ///
    /// # Errors
    /// When the program can't be started or the log can't be opened.
    pub fn start_piped(
        name: &'static str,
        program: &Path,
        arguments: &[&str],
        log: &Path,
    ) -> Result<Self> {
        let log = File::options().create(true).append(true).open(log)?;
        let mut command = tied_to_us(program);
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log);
        Self::spawn(name, command)
    }

    fn spawn(name: &'static str, mut command: Command) -> Result<Self> {
        command.process_group(0);
        let child = spawn_from_keeper(command).with_context(|| format!("can't start {name}"))?;
        Ok(Self { name, child })
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The pipes of a process that was started with [`Process::start_piped`], once.
    pub fn pipes(&mut self) -> Option<(std::process::ChildStdin, std::process::ChildStdout)> {
        self.child.stdin.take().zip(self.child.stdout.take())
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// An error when it has ended by itself.
    ///
    /// # Errors
    /// When it is gone; the text names it and how it ended.
    pub fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended by itself: {status}", self.name),
        }
    }

    /// Kills it without warning (SIGKILL), as a power cut would, and waits until it is gone.
    pub fn kill(&mut self) {
        // An error means that it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to end (SIGTERM), waits up to ten seconds, then kills it.
    pub fn stop(&mut self) {
        if !self.is_running() {
            return;
        }
        let _ = kill_process(self.pid(), Signal::TERM);
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.is_running() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.kill();
    }

    /// Kills it and whatever it started in its process group.
    pub fn kill_group(&mut self) {
        let _ = kill_process_group(self.pid(), Signal::KILL);
        self.kill();
    }

    /// Kills whatever it started, and what those started, but not itself (SIGKILL, all at once);
    /// how many there were.
    ///
    /// # Errors
    /// When `/proc` can't be read.
    pub fn kill_descendants(&self) -> Result<usize> {
        let found = descendants(self.id())?;
        for id in &found {
            // Whoever is gone already needs no killing.
            if let Some(pid) = i32::try_from(*id).ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        Ok(found.len())
    }

    /// Resident memory in KiB, from `/proc`.
    #[must_use]
    pub fn resident_kib(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.split_whitespace().next()?.parse().ok()
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

/// All processes below one, parents before their children.
fn descendants(ancestor: u32) -> Result<Vec<u32>> {
    let mut parents: Vec<(u32, u32)> = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(id) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        if let Some(parent) = parent_of(id) {
            parents.push((id, parent));
        }
    }
    let mut found = vec![ancestor];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(
            parents
                .iter()
                .filter(|(_, of)| *of == parent)
                .map(|(id, _)| *id),
        );
        next += 1;
    }
    found.remove(0);
    Ok(found)
}

/// The fourth field of `/proc/<id>/stat`; the second one is a name in parentheses, which may hold
/// anything. Nothing for a process that is gone meanwhile.
fn parent_of(id: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

/// `setpriv` (util-linux) replaces itself by the program, so the process id stays the program's.
fn tied_to_us(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// A port of 127.0.0.1 that is free at this moment, another one at every call: whoever asked first
/// may not listen yet. It lies outside of those that the system gives to outgoing connections, one of
/// which could take it until then, or while whoever listens there is being restarted.
///
/// # Errors
/// When there is none.
pub fn free_port() -> Result<u16> {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    let choice = beside(range.as_deref().unwrap_or_default());
    let count = u64::try_from(choice.len())?;
    for _ in 0..count {
        let number = RandomState::new().hash_one(()) % count;
        let port = choice.start + u16::try_from(number)?;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            // Whoever panicked while holding it did not leave it half changed.
            let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
            if given.insert(port) {
                return Ok(port);
            }
        }
    }
    bail!("no port is free")
}

/// The wider side of the ports that outgoing connections get, given as the kernel writes them
/// ("32768\t60999"); without those under 10000, where services have their own.
fn beside(outgoing: &str) -> Range<u16> {
    let mut numbers = outgoing
        .split_whitespace()
        .map_while(|number| number.parse::<u16>().ok());
    let (first, last) = numbers
        .next()
        .zip(numbers.next())
        .unwrap_or((32_768, 60_999));
    let (below, above) = (10_000..first, last.saturating_add(1)..u16::MAX);
    let side = if below.len() >= above.len() {
        below
    } else {
        above
    };
    // With hardly a port beside them, one of theirs has to do.
    if side.len() < 1000 {
        10_000..u16::MAX
    } else {
        side
    }
}

/// The end of a log, for an error: the folder that holds it is often gone when somebody reads that.
#[must_use]
pub fn last_lines(log: &Path) -> String {
    const LINES: usize = 20;
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(LINES);
    let lines = lines.get(from..).unwrap_or_default();
    format!("the end of {}:\n{}", log.display(), lines.join("\n"))
}

/// Asks every 50 ms until `ready` says yes.
///
/// # Errors
/// When `limit` passed, with `what` in the text, or as soon as `ready` fails.
pub fn wait_for(
    what: &str,
    limit: Duration,
    mut ready: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let deadline = Instant::now() + limit;
    while !ready().with_context(|| format!("while waiting for {what}"))? {
        if Instant::now() > deadline {
            bail!("waited {} s for {what}", limit.as_secs());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{beside, free_port};

    #[test]
    fn no_port_is_given_twice() {
        let ports: Vec<u16> = (0..100).map(|_| free_port().unwrap()).collect();
        assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), 100);
    }

    #[test]
    fn ports_lie_beside_those_of_outgoing_connections() {
        assert_eq!(beside("32768\t60999\n"), 10_000..32_768);
        assert_eq!(beside("1024 40000"), 40_001..65_535);
        assert_eq!(beside("1024 65535"), 10_000..65_535);
        assert_eq!(beside("nothing of the sort"), 10_000..32_768);
    }
}
