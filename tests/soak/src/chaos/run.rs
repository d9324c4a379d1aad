//! Starts a setting with the balancer and the clients, brings faults about, and reports.

use std::{
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

use fastrand::Rng;

use super::{
    channel,
    client::{self, Audit},
    cluster::{Cluster, wait},
    course::{CLIENTS, Course, Loss},
    link::Link,
    queue::{self, Queue},
    redis::Redis,
    replies::text_of,
    sentinel::Sentinel,
    servers::Servers,
    setting::Setting,
};
use crate::{
    Result,
    options::{Options, Proxied},
    server::Server,
};

/// Numbers of clients of each kind. A queue has two, and a channel has one.
const QUEUES: usize = 40;
const CHANNELS: usize = 20;

/// Every client must be served this soon after a fault.
const RECOVERY: Duration = Duration::from_secs(30);

/// After this time without service, the clients that wait are printed.
const SLOW: Duration = Duration::from_secs(2);

/// Maximum number of connections that the balancer keeps in reserve when all clients have gone.
const KEPT_DESCRIPTORS: usize = 100;

const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);

/// Stack of the thread of a client.
const STACK: usize = 512 * 1024;

pub(crate) fn run(options: &Options, proxied: Proxied) -> Result<()> {
    rlimit::increase_nofile_limit(20_000)?;
    println!("seed {}, {:.1} minutes", options.seed, options.minutes.as_secs_f64() / 60.0);
    fastrand::seed(options.seed);
    Redis::keep_folders(options.keep);
    let mut setting: Box<dyn Setting> = match proxied {
        Proxied::Servers => Box::new(Servers::start(false)?),
        Proxied::Ejection => Box::new(Servers::start(true)?),
        Proxied::Cluster => Box::new(Cluster::start()?),
        Proxied::Sentinel => Box::new(Sentinel::start()?),
    };
    let threads = options.threads.to_string();
    // A server that is stopped longer is lost.
    let mut arguments = ["--threads", &threads, "--timeout", "2000"].map(str::to_owned).to_vec();
    arguments.extend(setting.options());
    let mut server = Server::start(&options.program("balancer")?, &arguments, "error")?;
    let course = Course::new(server.address.to_string(), setting.loss());
    wait("the balancer has no server", || {
        let reply = Link::open(&course.address)?.call("GET key")?;
        Ok(reply == thegiant_resp::Value::Null)
    })?;
    let start = Measured::of(&server)?;
    let mut rng = Rng::with_seed(options.seed);
    let mut faults = Faults::default();
    let audits = thread::scope(|scope| {
        let clients = start_clients(scope, &course, &mut rng)?;
        let result = faults.bring_about(&mut *setting, &course, &mut server, &mut rng, options);
        // Also after a failure, because the scope waits for all clients.
        course.end();
        if let Err(error) = result {
            course.fail(error.to_string());
        }
        let mut audits = Vec::new();
        for client in clients {
            match client.join() {
                Ok(audit) => audits.extend(audit),
                Err(_) => course.fail("a client has panicked".to_owned()),
            }
        }
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(audits)
    })?;
    let mut problems = course.failures();
    if problems.is_empty() {
        problems.extend(compare(&*setting, &audits).err().map(|error| error.to_string()));
    }
    let end = settled(&server, start.descriptors + KEPT_DESCRIPTORS)?;
    if end.descriptors > start.descriptors + KEPT_DESCRIPTORS {
        problems.push(format!(
            "{} descriptors are open at the end, {} at the start",
            end.descriptors, start.descriptors
        ));
    }
    let peak = server.peak_kib()?;
    problems.extend(server.stop().err().map(|error| error.to_string()));
    println!();
    println!("commands checked   {}", course.commands.load(Ordering::Relaxed));
    println!("faults   {}", faults.count);
    println!(
        "longest time until every client was served after a fault   {:.1} s",
        faults.longest.as_secs_f64()
    );
    course.report();
    println!(
        "memory   {} at the start, {} at the end, peak {} MiB",
        start.mebibytes(),
        end.mebibytes(),
        peak / 1024
    );
    println!("descriptors   {} at the start, {} at the end", start.descriptors, end.descriptors);
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\nsoak: ").into()) }
}

type Running<'s> = thread::ScopedJoinHandle<'s, Option<Audit>>;

fn start_clients<'s>(
    scope: &'s thread::Scope<'s, '_>,
    course: &'s Course,
    rng: &mut Rng,
) -> Result<Vec<Running<'s>>> {
    let mut clients = Vec::new();
    let mut spawn = |act: Box<dyn FnOnce() -> Result<Audit> + Send + 's>, client: usize| -> Result<()> {
        let handle = thread::Builder::new().stack_size(STACK).spawn_scoped(scope, move || {
            act().map_err(|error| course.fail(format!("client {client}: {error}"))).ok()
        })?;
        clients.push(handle);
        Ok(())
    };
    let mut numbers = 0..CLIENTS;
    for client in numbers.by_ref().take(CHANNELS) {
        let rng = rng.fork();
        spawn(Box::new(move || channel::run(course, client, rng).map(|()| Audit::new())), client)?;
    }
    for pusher in numbers.by_ref().take(2 * QUEUES).step_by(2) {
        let (rng, popper) = (rng.fork(), pusher + 1);
        let queue = std::sync::Arc::new(Queue::default());
        let key = format!("queue:{pusher}");
        let (other, same) = (queue.clone(), key.clone());
        spawn(
            Box::new(move || queue::push(course, pusher, &queue, &key, rng).map(|()| Audit::new())),
            pusher,
        )?;
        spawn(Box::new(move || queue::pop(course, popper, &other, &same).map(|()| Audit::new())), popper)?;
    }
    for client in numbers {
        let rng = rng.fork();
        spawn(Box::new(move || client::run(course, client, rng)), client)?;
    }
    Ok(clients)
}

#[derive(Default)]
struct Faults {
    count: usize,
    /// The longest time from the end of a fault until every client had been served.
    longest: Duration,
}

impl Faults {
    /// Brings faults about until the time is over, with a quiet time after each.
    fn bring_about(
        &mut self,
        setting: &mut dyn Setting,
        course: &Course,
        server: &mut Server,
        rng: &mut Rng,
        options: &Options,
    ) -> Result<()> {
        let wanted: Vec<_> =
            setting.faults().iter().filter(|fault| fault.name.contains(&options.fault)).collect();
        let mut next_line = PROGRESS_INTERVAL;
        // The first connections of all clients are no fault, but take their time.
        self.recover(setting, course, server, options.verbose)?;
        while course.elapsed() < options.minutes {
            let fault = *rng.choice(&wanted).ok_or("no fault has such a name")?;
            if options.verbose {
                println!("{:8.3} s  {}", course.elapsed().as_secs_f64(), fault.name);
            }
            course.begin_fault(fault.name, fault.is_lossy);
            setting.inflict(fault.name, rng).map_err(|error| format!("{}: {error}", fault.name))?;
            self.longest = self.longest.max(self.recover(setting, course, server, options.verbose)?);
            self.count += 1;
            course.end_fault();
            let quiet = Instant::now() + Duration::from_millis(rng.u64(500..4000));
            while Instant::now() < quiet {
                thread::sleep(Duration::from_millis(50));
                if course.is_over() {
                    return Ok(());
                }
            }
            if course.elapsed() > next_line {
                next_line = course.elapsed() + PROGRESS_INTERVAL;
                println!(
                    "{:5} s  {:9} commands  {:4} faults  {:7} errors  {:4} MiB  {:5} descriptors",
                    course.elapsed().as_secs(),
                    course.commands.load(Ordering::Relaxed),
                    self.count,
                    course.number_of_errors(),
                    server.resident_kib()? / 1024,
                    server.descriptors()?,
                );
            }
        }
        Ok(())
    }

    /// Waits until the servers work and every client has been served. Returns the time from the first to the second.
    fn recover(
        &self,
        setting: &dyn Setting,
        course: &Course,
        server: &mut Server,
        is_verbose: bool,
    ) -> Result<Duration> {
        wait("the servers do not recover", || setting.is_settled())?;
        let settled = Instant::now();
        let mut next_line = settled + SLOW;
        loop {
            server.check()?;
            let unserved = course.unserved(settled);
            if course.is_over() {
                return Ok(Duration::ZERO);
            }
            if unserved.is_empty() && (course.loss != Loss::Ejection || is_connected(course)?) {
                return Ok(settled.elapsed());
            }
            if is_verbose && Instant::now() > next_line {
                next_line += SLOW;
                println!("{:8.3} s  clients {unserved:?} wait", course.elapsed().as_secs_f64());
            }
            if settled.elapsed() > RECOVERY {
                return Err(format!(
                    "these clients are not served for {RECOVERY:?} after a fault: {unserved:?}"
                )
                .into());
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Returns whether the balancer uses all servers, so that no key will move to another one.
fn is_connected(course: &Course) -> Result<bool> {
    let info = text_of(Link::open(&course.address)?.call("INFO upstream")?)?;
    Ok(info.contains(",connections=") && !info.contains(",connections=0,"))
}

/// Checks that the servers have the values that the clients have read through the balancer.
fn compare(setting: &dyn Setting, audits: &[Audit]) -> Result<()> {
    for (key, read) in audits.iter().flatten() {
        let found = setting.find(key)?;
        if !found.contains(read) {
            return Err(format!("{key}: the balancer replied {read:?}, the servers have {found:?}").into());
        }
    }
    Ok(())
}

struct Measured {
    resident_kib: u64,
    descriptors: usize,
}

impl Measured {
    fn of(server: &Server) -> Result<Measured> {
        Ok(Measured { resident_kib: server.resident_kib()?, descriptors: server.descriptors()? })
    }

    fn mebibytes(&self) -> u64 {
        self.resident_kib / 1024
    }
}

/// Measures the balancer when it has noticed that the clients have gone.
fn settled(server: &Server, descriptors: usize) -> Result<Measured> {
    const PATIENCE: Duration = Duration::from_secs(20);
    let begun = Instant::now();
    loop {
        let measured = Measured::of(server)?;
        if measured.descriptors <= descriptors || begun.elapsed() > PATIENCE {
            return Ok(measured);
        }
        thread::sleep(Duration::from_millis(50));
    }
}
