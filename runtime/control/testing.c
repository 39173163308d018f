/* SPDX-License-Identifier: MIT
 *
 * Starting, asking and stopping the moongates of specs. */
#include "control/testing.h"
#include "control/testing_private.h"

#include "control/drain.h"
#include "control/life.h"
#include "control/measure.h"
#include "control/questions.h"
#include "instance/runtime.h"
#include "loading/load.h"
#include "reports/routes_report.h"
#include "script/shared.h"
#include "threads/loading_apart.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { LOG_LONGEST = 1024 * 1024, STATUS_ROUTES = 100 };

struct testing {
  struct list_node node; /* in runtime->tests */
  unsigned id;
  int log_fd;
  bool is_released;
  int arriving; /* connections that are about to begin */
  struct log log;
  struct life life;
};

static struct testing *testing_of(struct instance *instance) {
  return (struct testing *)(void *)((char *)instance - offsetof(struct testing, life.instance));
}

/* Of the instance nothing is left; what it has logged still may be asked for, once. */
static void on_released(struct instance *instance) { testing_of(instance)->is_released = true; }

static void testing_free(struct testing *testing) {
  list_remove(&testing->node);
  if (testing->life.instance.runtime->left_behind) /* a thread that may log when it comes back */
    return;
  if (testing->log_fd >= 0)
    close(testing->log_fd);
  free(testing);
}

static struct testing *find_any(struct runtime *runtime, unsigned id) {
  LIST_FOREACH(node, &runtime->tests) {
    struct testing *testing = LIST_OWNER(node, struct testing, node);
    if (testing->id == id)
      return testing;
  }
  return NULL;
}

/* One that runs. */
static struct testing *testing_find(struct runtime *runtime, unsigned id) {
  struct testing *testing = find_any(runtime, id);
  return testing && !testing->is_released ? testing : NULL;
}

/* What functions of its routes ask of moongate.metrics: in states of its own, or in the spec's. */
static bool testing_measure(void *context, struct shared_question *question) {
  struct runtime *runtime = context;
  LIST_FOREACH(node, &runtime->tests) {
    struct testing *testing = LIST_OWNER(node, struct testing, node);
    const struct threads *threads = &testing->life.instance.threads;
    if (!testing->is_released && threads->count > 0 && &threads->threads[0]->worker == question->worker)
      return measure_within(&testing->life.instance, question);
  }
  return false;
}

static struct testing *testing_new(struct runtime *runtime) {
  struct testing *testing = calloc(1, sizeof *testing);
  if (!testing)
    return NULL;
  struct instance *instance = &testing->life.instance;
  testing->id = ++runtime->last_test;
  testing->log_fd = memfd_create("moongate-test-log", MFD_CLOEXEC);
  log_init(&testing->log, &runtime->clock, testing->log_fd);
  instance_init(&testing->life, runtime, &testing->log);
  instance->on_released = on_released;
  list_add_tail(&runtime->tests, &testing->node);
  return testing;
}

static void complain(struct value *faults, const char *field, const struct error *error) {
  report_fault(faults, "", 0, "", field, error->message);
}

/* 0 or -1 with `faults`. */
static int testing_read_config(struct testing *testing, const struct testing_settings *settings, struct value *faults) {
  struct instance *instance = &testing->life.instance;
  struct error error;
  struct fault_list found = {.count = 0};
  instance->loader = loader_new(&testing->log, instance->runtime->library, &error);
  if (!instance->loader) {
    complain(faults, "", &error);
    return -1;
  }
  int status = loader_take_config(instance->loader, settings->config, &instance->config, &found);
  report_faults(faults, &found, NULL);
  fault_list_clear(&found);
  if (status != 0)
    return -1;
  struct config *config = &instance->config;
  testing->log.level = config->log.level;
  testing->log.format = config->log.format;
  config->workers = 1;
  config->settings.within = &instance->runtime->loop;
  config->settings.any_ports = true;
  free(config->state); /* nothing is left behind, and nothing of an earlier run is taken up */
  config->state = NULL;
  return 0;
}

/* On a thread of its own, as ever: the files may hang, and the spec does not. */
static int load_directory(struct instance *instance) {
  struct error error;
  int status = loading_start(&instance->loading, NULL, instance->log, instance->loader, &error);
  if (status < 0)
    return status;
  instance->loading.bound_ms = instance->config.limits.load_time_ms;
  status = loading_load_routes(&instance->loading, &instance->config, 1, instance_number_of, &instance->names,
                               &instance->loaded);
  instance->runtime->left_behind |= loading_deinit(&instance->loading);
  return status;
}

static int testing_load(struct testing *testing, const struct testing_settings *settings, struct value *faults) {
  struct instance *instance = &testing->life.instance;
  struct loaded_routes *loaded = &instance->loaded;
  struct error error;
  int status;
  if (settings->directory) {
    char *directory = strdup(settings->directory);
    if (directory) {
      free(instance->config.routes);
      instance->config.routes = directory;
    }
    status = load_directory(instance);
  } else {
    status = loader_load_value(instance->loader, &instance->config, settings->routes, 1, instance_number_of,
                               &instance->names, loaded);
  }
  instance_log_faults(&testing->log, LOG_WARN, "the routes: take note", &loaded->warnings);
  report_faults(faults, &loaded->faults, NULL);
  if (status != 0)
    return -1;
  instance->table = instance_make_table(NULL, NULL, loaded, instance->config.policy, &error);
  if (instance->table) {
    instance->table->generation = 1;
    instance->resolved = calloc(instance->table->port_count + 1, sizeof *instance->resolved);
    error_set(&error, ENOMEM, "no memory for the route table");
  }
  if (!instance->resolved)
    complain(faults, "", &error);
  return instance->resolved ? 0 : -1;
}

static int testing_begin(struct testing *testing, const struct testing_settings *settings, struct value *faults) {
  struct instance *instance = &testing->life.instance;
  struct error error = {.code = 0};
  if (names_init(&instance->names) != 0) {
    error_set(&error, ENOMEM, "no memory to start");
    complain(faults, "", &error);
    return -1;
  }
  if (testing_read_config(testing, settings, faults) != 0 || testing_load(testing, settings, faults) != 0)
    return -1;
  if (instance_make_workers(instance, &error) != 0 ||
      threads_start(&instance->threads, &instance->account, &error) != 0) {
    complain(faults, "", &error);
    return -1;
  }
  struct script_shared *shared = script_state_shared(settings->config->state);
  if (shared)
    script_shared_set_asked(shared, testing_measure, instance->runtime);
  script_shared_set_asked(loader_shared(instance->loader), testing_measure, instance->runtime);
  instance->phase = INSTANCE_READY;
  instance_announce(instance);
  return 0;
}

/* { route =, wanted = (0: the kernel's), port = } for each. */
static void list_ports(const struct instance *instance, struct value *list) {
  const struct route_table *table = instance->table;
  for (size_t i = 0; i < table->port_count; i++) {
    for (size_t r = 0; r < table->ports[i].route_count; r++) {
      struct value *entry = value_set_table(list, NULL);
      value_set_string(entry, "route", table->ports[i].routes[r]->name);
      value_set_number(entry, "wanted", table->ports[i].port);
      value_set_number(entry, "port", instance->resolved[i]);
    }
  }
}

static struct value *start(void *context, const struct testing_settings *settings) {
  struct runtime *runtime = context;
  struct value *root = value_table(), *faults = value_set_table(root, "faults");
  struct testing *testing = testing_new(runtime);
  if (!testing) {
    value_free(root);
    return NULL;
  }
  if (testing_begin(testing, settings, faults) == 0) {
    value_set_number(root, "id", testing->id);
    list_ports(&testing->life.instance, value_set_table(root, "ports"));
  } else {
    instance_release(&testing->life.instance);
    testing_free(testing);
  }
  return root;
}

static void stop(void *context, unsigned id, uint64_t drain_ms, struct native_call *call) {
  struct testing *testing = testing_find(context, id);
  if (!testing || testing->life.instance.call) {
    native_call_answer(call, value_number(0));
    return;
  }
  struct instance *instance = &testing->life.instance;
  instance->call = call;
  if (drain_ms > 0 && instance->phase == INSTANCE_READY)
    instance_drain(instance, drain_ms, "spec");
  else
    instance_stop(instance);
}

static void snapshot(void *context, unsigned id, struct native_call *call) {
  struct testing *testing = testing_find(context, id);
  if (testing)
    instance_snapshot(&testing->life.instance, call);
  else
    native_call_answer(call, value_table());
}

static struct value *status(void *context, unsigned id) {
  struct testing *testing = testing_find(context, id);
  struct value *root = testing ? status_of(&testing->life.instance) : value_table();
  if (testing && testing->life.instance.table)
    routes_write(root, &testing->life.instance, STATUS_ROUTES);
  return root;
}

static struct value *testing_read_log(void *context, unsigned id) {
  struct testing *testing = find_any(context, id);
  struct value *root = value_table();
  char *text = testing ? malloc(LOG_LONGEST + 1) : NULL;
  ssize_t size = text ? pread(testing->log_fd, text, LOG_LONGEST, 0) : 0;
  if (size > 0) {
    text[size] = '\0';
    value_set_string(root, "text", text);
  }
  free(text);
  if (testing && testing->is_released)
    testing_free(testing);
  return root;
}

/* A connection begins in an event of its own, since its handler may run at once, and the spec runs now. */
struct arrival {
  struct deferred deferred;
  struct runtime *runtime;
  struct endpoint peer;
  unsigned id;
  int fd;
  uint16_t port;
};

static void on_arrival(struct deferred *deferred) {
  struct arrival *arrival = (struct arrival *)(void *)deferred;
  const struct sockaddr *peer = (const struct sockaddr *)&arrival->peer.storage;
  struct testing *testing = testing_find(arrival->runtime, arrival->id);
  if (!testing || testing->life.instance.phase != INSTANCE_READY ||
      worker_accept(&testing->life.instance.threads.threads[0]->worker, arrival->port, arrival->fd, peer) != 0)
    close(arrival->fd);
  if (testing)
    testing->arriving--;
  free(arrival);
}

static int accept_end(void *context, unsigned id, int fd, const char *ip, uint16_t client_port, uint16_t port) {
  struct runtime *runtime = context;
  struct testing *testing = testing_find(runtime, id);
  if (!testing || testing->life.instance.phase != INSTANCE_READY)
    return -ESHUTDOWN;
  struct arrival *arrival = calloc(1, sizeof *arrival);
  if (!arrival)
    return -ENOMEM;
  *arrival = (struct arrival){.deferred.run = on_arrival, .runtime = runtime, .id = id, .fd = fd, .port = port};
  if (endpoint_from_literal(&arrival->peer, ip, client_port) != 0) {
    free(arrival);
    return -EINVAL;
  }
  testing->arriving++;
  loop_defer(&runtime->loop, &arrival->deferred);
  return 0;
}

static int connections(void *context, unsigned id) {
  struct testing *testing = testing_find(context, id);
  if (!testing || testing->life.instance.phase >= INSTANCE_STOPPING)
    return -1;
  return testing->arriving + (int)testing->life.instance.threads.threads[0]->worker.connection_count;
}

static void testing_advance_clock(void *context, uint64_t ns) {
  struct runtime *runtime = context;
  clock_advance(&runtime->clock, ns);
}

static double next_timer(void *context) {
  struct runtime *runtime = context;
  clock_ms next = loop_next_timer(&runtime->loop);
  double now = (double)clock_ns(&runtime->clock) / 1e6;
  if (next == CLOCK_NEVER)
    return -1;
  return (double)next > now ? ((double)next - now) / 1e3 : 0;
}

const struct testing_ops testing_operations = {
    .start = start,
    .check = testing_check,
    .match = testing_match,
    .stop = stop,
    .snapshot = snapshot,
    .status = status,
    .log = testing_read_log,
    .accept = accept_end,
    .connections = connections,
    .advance = testing_advance_clock,
    .next_timer = next_timer,
};

void testing_deinit(struct runtime *runtime) {
  LIST_FOREACH(node, &runtime->tests) {
    struct testing *testing = LIST_OWNER(node, struct testing, node);
    if (!testing->is_released)
      instance_release(&testing->life.instance);
    testing_free(testing);
  }
}
