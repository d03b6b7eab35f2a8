//! The solver: cvc5 as a program of its own, asked through the symbolic compiler of Cedar's authors.
//!
//! What crosses in are policies and a kind of request; what crosses out is whether something holds for every request of that kind, with one for
//! which it does not. An answer counts only when it is one: a solver that is not there, dies, says what cannot be understood, takes too long or
//! names a request for which it is not so has proved nothing.

use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cedar_policy::{Authorizer, Decision, Entities, Policy, PolicySet, Request, RequestEnv, Schema};
use cedar_policy_symcc::err::Error;
use cedar_policy_symcc::solver::{LocalSolver, SolverError};
use cedar_policy_symcc::{
    CedarSymCompiler, CompiledPolicy, CompiledPolicySet, Env, WellFormedAsserts, always_denies_asserts, implies_asserts,
    never_errors_asserts,
};

use super::super::replay::cores;

/// Names the program.
const VARIABLE: &str = "CVC5";
/// Looked for where nothing is named.
const PROGRAM: &str = "cvc5";
/// How to get one.
pub(in crate::cli) const HELP: &str =
    "install cvc5 1.3.1 or newer (cvc5.github.io has it as one file), and put it on the PATH or name it with `CVC5`";

/// Of each thread, in bytes: a formula is as deep as there are policies.
const STACK: usize = 256 * 1024 * 1024;

/// What is asked about all requests of one kind.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Question<'a> {
    pub(in crate::cli) kind: &'a RequestEnv,
    pub(in crate::cli) schema: &'a Schema,
    pub(in crate::cli) claim: Claim,
}

/// What may hold for every request.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "there are as many as there are questions, and each of them takes seconds")]
pub(in crate::cli) enum Claim {
    /// The policy can always be evaluated.
    NeverErrors(Box<Policy>),
    /// The policies allow nothing.
    AlwaysDenies(PolicySet),
    /// What the first allow, the second allow.
    Implies(PolicySet, PolicySet),
}

/// What the solver says about it.
#[derive(Debug)]
pub(in crate::cli) enum Answer {
    /// It holds for every request.
    Holds,
    /// It does not hold for this one, as Cedar itself says too.
    Fails(Box<Env>),
    /// Nobody knows, for this reason.
    Unknown(String),
}

/// A solver that was found.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Solver {
    program: OsString,
    /// For each question.
    timeout: Duration,
}

impl Solver {
    /// The solver of this machine, once it has shown that it can tell what holds from what does not.
    ///
    /// # Errors
    /// Why there is none.
    pub(in crate::cli) fn find(seconds: u64) -> Result<Self, String> {
        let named = std::env::var_os(VARIABLE).filter(|name| !name.is_empty());
        let on_path = || {
            let path = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&path).map(|folder| folder.join(PROGRAM)).find(|program| program.is_file())
        };
        let missing = || format!("there is no solver: `{PROGRAM}` is not on the PATH, and the variable `{VARIABLE}` names none");
        let program = named.or_else(|| on_path().map(OsString::from)).ok_or_else(missing)?;
        let solver = Self { program, timeout: Duration::from_secs(seconds) };
        solver.try_out().map_err(|why| format!("the solver `{}` does not work: {why}", solver.name()))?;
        Ok(solver)
    }

    /// The program, for people.
    pub(in crate::cli) fn name(&self) -> String {
        Path::new(&self.program).display().to_string()
    }

    /// Asks two questions with known answers.
    ///
    /// SECURITY: a program that says `unsat` to everything would prove everything.
    fn try_out(&self) -> Result<(), String> {
        let schema = "entity U; action a appliesTo { principal: U, resource: U, context: { n: Long, s: String } };";
        let (schema, _) = Schema::from_cedarschema_str(schema).map_err(|error| error.to_string())?;
        let kind = schema.request_envs().next().ok_or("there is nothing to ask")?;
        let denies = |condition: &str| {
            let policy = Policy::parse(None, format!("permit (principal, action, resource) when {{ {condition} }};"));
            let policy = policy.map_err(|error| error.to_string())?;
            let set = PolicySet::from_policies([policy]).map_err(|error| error.to_string())?;
            Ok::<_, String>(Question { kind: &kind, schema: &schema, claim: Claim::AlwaysDenies(set) })
        };
        let questions = [denies("context.n > 3 && context.n < 4")?, denies("context.n > 3 && context.n < 5 && context.s like \"a*\"")?];
        match self.answers(&questions).as_slice() {
            [Answer::Holds, Answer::Fails(_)] => Ok(()),
            [Answer::Unknown(why), _] | [_, Answer::Unknown(why)] => Err(why.clone()),
            _ => Err("it answers a question whose answer is known with another".to_owned()),
        }
    }

    /// The answers to questions, in their order. All cores are used.
    pub(in crate::cli) fn answers(&self, questions: &[Question<'_>]) -> Vec<Answer> {
        let next = AtomicUsize::new(0);
        let found: Mutex<Vec<(usize, Answer)>> = Mutex::new(Vec::with_capacity(questions.len()));
        std::thread::scope(|scope| {
            for _ in 0..cores().min(questions.len()) {
                let work = || {
                    let mut session = Session::new(self);
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some(question) = questions.get(index) else { break };
                        let answer = session.answer(question);
                        found.lock().unwrap_or_else(PoisonError::into_inner).push((index, answer));
                    }
                };
                // A thread that cannot be had leaves its questions to the others, or without an answer.
                let _ = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work);
            }
        });
        let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        found.sort_by_key(|(index, _)| *index);
        let mut answers: Vec<Answer> = found.into_iter().map(|(_, answer)| answer).collect();
        // SECURITY: never fewer answers than questions.
        answers.resize_with(questions.len(), || Answer::Unknown("it was not asked".to_owned()));
        answers
    }
}

/// One thread's solver: a process that is started when it is needed and again after it failed.
struct Session<'s> {
    solver: &'s Solver,
    runtime: Option<tokio::runtime::Runtime>,
    compiler: Option<CedarSymCompiler<LocalSolver>>,
}

impl<'s> Session<'s> {
    fn new(solver: &'s Solver) -> Self {
        Self { solver, runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().ok(), compiler: None }
    }

    fn answer(&mut self, question: &Question<'_>) -> Answer {
        // What a broken solver says must not end the command: a panic is no proof either.
        let asked = catch_unwind(AssertUnwindSafe(|| self.ask(question)));
        let answer = asked.unwrap_or_else(|_| Answer::Unknown("the solver's answer cannot be understood".to_owned()));
        if matches!(answer, Answer::Unknown(_)) {
            self.compiler = None;
        }
        match answer {
            Answer::Fails(env) if !question.claim.fails(&env.request, &env.entities) => {
                self.compiler = None;
                Answer::Unknown("the solver names a request for which it is not so".to_owned())
            }
            answer => answer,
        }
    }

    fn ask(&mut self, question: &Question<'_>) -> Answer {
        let Question { kind, schema, claim } = question;
        let set = |set: &PolicySet| CompiledPolicySet::compile(set, kind, schema).map_err(Box::new);
        let answer = match claim {
            Claim::NeverErrors(policy) => {
                CompiledPolicy::compile(policy, kind, schema).map_err(Box::new).map(|policy| self.solve(&never_errors_asserts(&policy)))
            }
            Claim::AlwaysDenies(policies) => set(policies).map(|policies| self.solve(&always_denies_asserts(&policies))),
            Claim::Implies(one, other) => set(one).and_then(|one| Ok(self.solve(&implies_asserts(&one, &set(other)?)))),
        };
        answer.unwrap_or_else(|error| Answer::Unknown(told(&error)))
    }

    fn solve(&mut self, asserts: &WellFormedAsserts<'_>) -> Answer {
        let Self { solver, runtime, compiler } = self;
        let Some(runtime) = runtime else { return Answer::Unknown("no thread can wait for the solver".to_owned()) };
        let asked = runtime.block_on(async {
            let mut compiler_of = match compiler.take() {
                Some(compiler) => compiler,
                None => start(solver)?,
            };
            // The limit is kept here, whatever the solver makes of its own.
            let Ok(answer) = tokio::time::timeout(solver.timeout, compiler_of.check_sat(asserts)).await else {
                return Err(format!("no answer within {} s", solver.timeout.as_secs()));
            };
            let answer = answer.map_err(|error| told(&error))?;
            *compiler = Some(compiler_of);
            Ok(answer)
        });
        match asked {
            Ok(None) => Answer::Holds,
            Ok(Some(env)) => Answer::Fails(Box::new(env)),
            Err(why) => Answer::Unknown(why),
        }
    }
}

/// A process of its own. It ends with the value.
fn start(solver: &Solver) -> Result<CedarSymCompiler<LocalSolver>, String> {
    let mut command = tokio::process::Command::new(&solver.program);
    let limit = format!("--tlimit-per={}", solver.timeout.as_millis());
    command.args(["--lang", "smt", &limit]).kill_on_drop(true);
    let process = LocalSolver::from_command(&mut command).map_err(|error| told(&Error::from(error)))?;
    CedarSymCompiler::new(process).map_err(|error| told(&error))
}

impl Claim {
    /// The policies whose answer it is about.
    pub(in crate::cli) fn policies(&self) -> PolicySet {
        match self {
            Self::NeverErrors(policy) => PolicySet::from_policies([Policy::clone(policy)]).unwrap_or_default(),
            Self::AlwaysDenies(policies) | Self::Implies(_, policies) => policies.clone(),
        }
    }

    /// Whether Cedar says too that it does not hold for this request.
    pub(in crate::cli) fn fails(&self, request: &Request, entities: &Entities) -> bool {
        let authorizer = Authorizer::new();
        let allows = |set: &PolicySet| authorizer.is_authorized(request, set, entities).decision() == Decision::Allow;
        match self {
            Self::NeverErrors(policy) => PolicySet::from_policies([Policy::clone(policy)])
                .is_ok_and(|set| authorizer.is_authorized(request, &set, entities).diagnostics().errors().next().is_some()),
            Self::AlwaysDenies(policies) => allows(policies),
            Self::Implies(one, other) => allows(one) && !allows(other),
        }
    }
}

/// What went wrong, without the words of a library.
fn told(error: &Error) -> String {
    match error {
        Error::SolverUnknown => "the solver does not know".to_owned(),
        Error::SolverError(SolverError::Io(error)) => format!("the solver cannot be run: {error}"),
        Error::SolverError(SolverError::Solver(text)) => format!("the solver failed: {}", shortened(text)),
        Error::SolverError(SolverError::UnrecognizedSolverOutput(text)) if text.is_empty() => {
            "the solver ended without an answer".to_owned()
        }
        Error::SolverError(SolverError::UnrecognizedSolverOutput(text)) => format!("the solver says `{}`", shortened(text)),
        Error::SolverError(SolverError::SolverMarkedFailed) => "the solver failed before".to_owned(),
        Error::PolicyNotWellTyped { errs } => {
            let first = errs.first().map(ToString::to_string).unwrap_or_default();
            format!("policies do not fit the schema: {}", shortened(&first))
        }
        Error::CompileError(error) => format!("cannot be proved: {}", shortened(&error.to_string())),
        Error::DecodeModel(_) | Error::ConcretizeError(_) | Error::ModelInvalid { .. } => {
            "the solver's answer cannot be understood".to_owned()
        }
        other => shortened(&other.to_string()),
    }
}

fn shortened(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.chars().take(200).collect()
}
