// Runs a real Mesos master or agent out of the native library inside the PyPI package
// mesos-scheduler. No Mesos headers: only the few entry points used are declared here.
//
//   node master --work_dir=DIR        other master flags come from MESOS_<FLAG> variables
//   node agent --master=HOST:PORT --work_dir=DIR ...      every flag of mesos-agent
//
// With NODE_ENDS_WITH_STDIN=1 the process ends when its standard input is closed, so that a node
// does not outlive the process that started it. The master's own folder is <work_dir>/master.
//
// The declarations must have the library's names and calling convention, not its layout: an object
// that only the library looks into is a block of memory at least as large as the real one. Types
// are structs with the mangled names of 1.11.0; nothing here fits another version.
//
// Compiled with -DELECTION, masters are elected through ZooKeeper at $NODE_ZK (zk://host:port/path).

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <unistd.h>

// Data that the library's Python glue refers to; never used.
extern "C" {
void* PyExc_Exception;
void* PyExc_TypeError;
long _Py_NoneStruct[16];
}

// ---- stout: the few value types that cross the border, in the library's layout -----------------

// Option<T>: a state (0 = some, 1 = none), then the value.
template <class T>
struct Option {
  int none;
  union { T value; };

  Option() : none(1) {}
  Option(const T& v) : none(0), value(v) {}
  Option(const Option& that) : none(that.none) { if (!none) new (&value) T(that.value); }
  ~Option() { if (!none) value.~T(); }
};

// Try<T>: a value or an error.
template <class T>
struct Try {
  Option<T> data;
  Option<std::string> error;

  T get(const char* what) {
    if (data.none) {
      fprintf(stderr, "%s: %s\n", what, error.none ? "unknown error" : error.value.c_str());
      exit(1);
    }
    return data.value;
  }
};

struct Duration { long ns; };

// A small vector that is received and left alone.
struct Warnings { void* pointers[3]; };

// Anything returned in memory (futures, process ids). Its copy constructor and destructor make it
// "not trivial", which is what makes the caller pass the address of the result.
struct Opaque {
  char bytes[4096];

  Opaque();
  Opaque(const Opaque&);
  ~Opaque();
};
inline Opaque::~Opaque() {}

// ---- libprocess ---------------------------------------------------------------------------------

namespace process {

struct ProcessBase {
  virtual ~ProcessBase();
  char bytes[4096];
};

template <class T>
struct Owned { std::shared_ptr<T> pointer; };

namespace network {
namespace unix { struct Address; }
namespace internal {
template <class A>
struct Socket { std::shared_ptr<A> pointer; };
}  // namespace internal
}  // namespace network

bool initialize(
    const Option<std::string>& delegate,
    const Option<std::string>& readwrite_realm,
    const Option<std::string>& readonly_realm);
Opaque spawn(ProcessBase*, bool manage);

}  // namespace process

namespace flags {

struct FlagsBase {
  virtual ~FlagsBase();
  char bytes[4096];

  Try<Warnings> load(
      const Option<std::string>& prefix,
      int argc,
      const char* const* argv,
      bool unknowns,
      bool duplicates);
};

}  // namespace flags

// ---- Mesos --------------------------------------------------------------------------------------

namespace mesos {

struct Authorizer;
struct MasterInfo;
struct SecretGenerator;

struct SecretResolver {
  static Try<SecretResolver*> create(const Option<std::string>&);
};

namespace allocator { struct Allocator; }

namespace slave {
struct ResourceEstimator {
  static Try<ResourceEstimator*> create(const Option<std::string>&);
};
struct QoSController {
  static Try<QoSController*> create(const Option<std::string>&);
};
}  // namespace slave

namespace master {
namespace detector {
struct MasterDetector {
  virtual ~MasterDetector();
  virtual Opaque detect(const Option<MasterInfo>&) = 0;
  static Try<MasterDetector*> create(
      const Option<std::string>& where,
      const Option<std::string>& module,
      const Option<Duration>& session);
};
}  // namespace detector

namespace contender {
struct MasterContender {
  virtual ~MasterContender();
  virtual void initialize(const MasterInfo&) = 0;
  virtual Opaque contend() = 0;
  static Try<MasterContender*> create(
      const Option<std::string>& where,
      const Option<std::string>& module,
      const Option<Duration>& session);
};
}  // namespace contender
}  // namespace master

namespace internal {

struct PendingFutureTracker;

struct VersionProcess : virtual process::ProcessBase {
  char bytes[4096];
  VersionProcess();
  ~VersionProcess() override;
};

struct Files {
  char bytes[65536];
  Files(const Option<std::string>& realm, const Option<Authorizer*>&);
};

namespace logging {
struct Flags : virtual flags::FlagsBase {
  char bytes[4096];
  Flags();
  ~Flags() override;
};
void initialize(const std::string& program, bool crash_handler, const Option<Flags>&);
}  // namespace logging

namespace local {
struct Flags : virtual logging::Flags {
  char bytes[4096];
  Flags();
  ~Flags() override;
};
Opaque launch(const Flags&, allocator::Allocator*);
}  // namespace local

namespace slave {

struct CSIServer;
struct VolumeGidManager;

struct Flags : virtual logging::Flags {
  char bytes[65536];
  Flags();
  ~Flags() override;
};

struct Fetcher {
  char bytes[4096];
  explicit Fetcher(const Flags&);
};

struct GarbageCollector {
  char bytes[4096];
  explicit GarbageCollector(const std::string& work_dir);
  virtual ~GarbageCollector();
};

struct TaskStatusUpdateManager {
  char bytes[4096];
  explicit TaskStatusUpdateManager(const Flags&);
};

struct Containerizer {
  static Try<Containerizer*> create(
      const Flags&,
      bool local,
      Fetcher*,
      GarbageCollector*,
      SecretResolver*,
      VolumeGidManager*,
      PendingFutureTracker*,
      CSIServer*);
};

struct Slave : virtual process::ProcessBase {
  char bytes[1 << 20];
  Slave(
      const std::string& id,
      const Flags&,
      master::detector::MasterDetector*,
      Containerizer*,
      Files*,
      GarbageCollector*,
      TaskStatusUpdateManager*,
      mesos::slave::ResourceEstimator*,
      mesos::slave::QoSController*,
      SecretGenerator*,
      VolumeGidManager*,
      PendingFutureTracker*,
      process::Owned<CSIServer>&&,
      const Option<process::network::internal::Socket<process::network::unix::Address>>&,
      const Option<Authorizer*>&);
  ~Slave() override;
};

}  // namespace slave
}  // namespace internal
}  // namespace mesos

#ifdef ELECTION
// `local::launch` makes stand-alone detectors and contenders. These definitions take the place of
// the library's own, by symbol interposition, and forward to its ZooKeeper ones.
namespace mesos {
namespace master {

template <class T>
static T* elected(const char* what) {
  static T* one =
    T::create(
        Option<std::string>(getenv("NODE_ZK")),
        Option<std::string>(),
        Option<Duration>(Duration{5000000000L})).get(what);
  return one;
}

namespace detector {
struct StandaloneMasterDetector : MasterDetector {
  void* unused;
  StandaloneMasterDetector();
  ~StandaloneMasterDetector() override;
  Opaque detect(const Option<MasterInfo>&) override;
  void appoint(const Option<MasterInfo>&);
};
StandaloneMasterDetector::StandaloneMasterDetector() {}
StandaloneMasterDetector::~StandaloneMasterDetector() {}
Opaque StandaloneMasterDetector::detect(const Option<MasterInfo>& previous) {
  return elected<MasterDetector>("detector")->detect(previous);
}
void StandaloneMasterDetector::appoint(const Option<MasterInfo>&) {}
}  // namespace detector

namespace contender {
struct StandaloneMasterContender : MasterContender {
  ~StandaloneMasterContender() override;
  void initialize(const MasterInfo&) override;
  Opaque contend() override;
};
StandaloneMasterContender::~StandaloneMasterContender() {}
void StandaloneMasterContender::initialize(const MasterInfo& self) {
  elected<MasterContender>("contender")->initialize(self);
}
Opaque StandaloneMasterContender::contend() {
  return elected<MasterContender>("contender")->contend();
}
}  // namespace contender

}  // namespace master
}  // namespace mesos
#endif

// ---- the program --------------------------------------------------------------------------------

using namespace mesos::internal;

static void load(flags::FlagsBase& flags, int argc, char** argv) {
  flags.load(Option<std::string>("MESOS_"), argc, argv, false, false).get("flags");
}

static std::string flag(int argc, char** argv, const std::string& name) {
  const std::string prefix = "--" + name + "=";
  for (int i = 2; i < argc; i++) {
    const std::string argument = argv[i];
    if (argument.compare(0, prefix.size(), prefix) == 0) return argument.substr(prefix.size());
  }
  return "";
}

static void start_libprocess(const std::string& delegate, const std::string& role) {
  process::initialize(
      Option<std::string>(delegate),
      Option<std::string>("mesos-" + role + "-readwrite"),
      Option<std::string>("mesos-" + role + "-readonly"));
}

// A "local cluster" of one master and no agents: the one way to a master that needs no more names.
static void start_master(int argc, char** argv) {
  start_libprocess("master", "master");
  setenv("MESOS_NUM_SLAVES", "0", 1);
  auto& flags = *new local::Flags;
  load(flags, argc - 1, argv + 1);
  local::launch(flags, nullptr);
}

static void start_agent(int argc, char** argv) {
  auto& flags = *new slave::Flags;
  load(flags, argc - 1, argv + 1);
  start_libprocess("slave(1)", "agent");

  auto* files =
    new Files(Option<std::string>("mesos-agent-readonly"), Option<mesos::Authorizer*>());
  auto* collector = new slave::GarbageCollector(flag(argc, argv, "work_dir"));
  auto* secrets =
    mesos::SecretResolver::create(Option<std::string>()).get("secret resolver");
  auto* containerizer =
    slave::Containerizer::create(
        flags, false, new slave::Fetcher(flags), collector, secrets, nullptr, nullptr, nullptr)
      .get("containerizer");
  auto* detector =
    mesos::master::detector::MasterDetector::create(
        Option<std::string>(flag(argc, argv, "master")),
        Option<std::string>(),
        Option<Duration>(Duration{10000000000L}))
      .get("detector");

  auto* agent = new slave::Slave(
      "slave(1)",
      flags,
      detector,
      containerizer,
      files,
      collector,
      new slave::TaskStatusUpdateManager(flags),
      mesos::slave::ResourceEstimator::create(Option<std::string>()).get("resource estimator"),
      mesos::slave::QoSController::create(Option<std::string>()).get("qos controller"),
      nullptr,
      nullptr,
      nullptr,
      process::Owned<slave::CSIServer>(),
      Option<process::network::internal::Socket<process::network::unix::Address>>(),
      Option<mesos::Authorizer*>());
  process::spawn(agent, false);
}

static void wait_for_the_end() {
  const char* with_stdin = getenv("NODE_ENDS_WITH_STDIN");
  if (with_stdin == nullptr) for (;;) pause();

  char byte;
  ssize_t got;
  do { got = read(STDIN_FILENO, &byte, 1); } while (got > 0 || (got < 0 && errno == EINTR));
  _exit(0);
}

int main(int argc, char** argv) {
  const std::string role = argc > 1 ? argv[1] : "";
  if (role != "master" && role != "agent") {
    fprintf(stderr, "usage: node master|agent --flag=value ...\n");
    return 2;
  }
  logging::initialize("mesos-" + role, false, Option<logging::Flags>());
  if (role == "master") start_master(argc, argv); else start_agent(argc, argv);
  process::spawn(new VersionProcess, true);
  wait_for_the_end();
}
