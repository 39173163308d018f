/* SPDX-License-Identifier: MIT
 *
 * The start of an instance: the order in which its parts come up. Files may take their time to load, or hang: the admin
 * interface is open by then, and says so. */
#include "control/drain.h"
#include "control/life.h"
#include "control/measure.h"
#include "core/descriptors.h"
#include "instance/dns_watch.h"
#include "instance/runtime.h"
#include "threads/loading_apart.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

enum { SUBJECT_SIZE = 640 };

static void on_end(void *context) {
  struct instance *instance = context;
  const struct log *log = &instance->runtime->log;
  if (instance->phase != INSTANCE_READY) {
    LOG(log, LOG_INFO, "stopping at once");
    instance_stop(instance);
    return;
  }
  instance_drain(instance, instance->config.timeouts.shutdown, "signal");
}

static void on_other_signal(void *context, int signal) {
  struct instance *instance = context;
  bool is_starting = instance->phase == INSTANCE_STARTING;
  if (signal == SIGHUP && is_starting)
    instance->reload_wanted = true; /* files may have been read already */
  else if (signal == SIGHUP)
    instance_reload(instance, true, NULL);
  else if (signal == SIGUSR1 && is_starting)
    instance->snapshot_wanted = true;
  else if (signal == SIGUSR1)
    diagnose_begin(instance->diagnose);
  else
    LOG(instance->log, LOG_INFO, "SIGUSR2 is kept for the upgrade of the binary: nothing is done");
}

/* The files that are being loaded are not what ends us. */
static void on_early_end(void *context) { loader_withdraw_mark(((struct instance *)context)->loader); }

static const struct signal_callbacks signal_callbacks = {
    .on_end = on_end, .on_other = on_other_signal, .on_early_end = on_early_end};

/* 0 or -1, having said why. With its threads there is an instance for who asks. */
static int start_threads(struct instance *instance) {
  struct runtime *runtime = instance->runtime;
  struct error error;
  if (instance_make_workers(instance, &error) != 0)
    return instance_complain(NULL, &error);
  runtime->instance = instance;
  runtime->starting = NULL;
  measure_start(runtime);
  if (threads_start(&instance->threads, &instance->account, &error) != 0 || reload_start(instance, &error) != 0)
    return instance_complain(NULL, &error);
  dns_watch_start(instance);
  diagnose_start(instance);
  if (heartbeats_start(instance) == 0)
    return 0;
  error_set(&error, ENOMEM, "no memory to start");
  return instance_complain(NULL, &error);
}

static void set_ready(struct instance *instance) {
  instance->phase = INSTANCE_READY;
  signals_set_ready(instance->signals);
  instance_announce(instance);
  if (instance->reload_wanted)
    instance_reload(instance, true, NULL);
  if (instance->snapshot_wanted)
    diagnose_begin(instance->diagnose);
}

static void fail_start(struct instance *instance) {
  instance->status = 1;
  instance_stop(instance);
}

static void begin_serving(struct instance *instance) {
  if (instance_tell_faults(instance) == 0 && start_threads(instance) == 0)
    set_ready(instance);
  else
    fail_start(instance);
}

static void on_first_loaded(void *context, int status);

static void load_first(struct instance *instance) {
  struct error error;
  if (loading_begin_routes(&instance->loading, &instance->config, instance->config.workers, &instance->loaded,
                           on_first_loaded, instance) == 0)
    return;
  error_set(&error, ENOMEM, "no memory to start");
  instance_complain(NULL, &error);
  fail_start(instance);
}

/* The files of routes that can't be had, each once: a second time would take its last good version too. */
struct start_refusal {
  struct instance *instance;
  bool *reported;
  int status;
};

static void start_refuse(struct start_refusal *refusal, const struct route *route, const char *field,
                         const char *message, const struct table_port *awaited) {
  struct instance *instance = refusal->instance;
  size_t file = loaded_routes_find(&instance->loaded, route->file);
  if (refusal->reported[file] || refusal->status != 0)
    return;
  refusal->reported[file] = true;
  refusal->status = reload_exclude_file(instance->reload, instance->loader, route, field, message,
                                        awaited ? &awaited->endpoint : NULL);
}

static void refuse_each(struct start_refusal *refusal, const struct port_change *ports, const struct plane *plane) {
  for (size_t i = 0; ports && i < ports->failure_count; i++) {
    const struct port_failure *failure = &ports->failures[i];
    const struct table_port *port = &ports->table->ports[failure->place];
    start_refuse(refusal, port->routes[0], "match.ports", failure->error.message,
                 instance_error_passes(&failure->error) ? port : NULL);
  }
  for (size_t i = 0; plane && i < plane->refusals.count; i++)
    start_refuse(refusal, plane->refusals.faults[i].route, plane->refusals.faults[i].field,
                 plane->refusals.faults[i].message, NULL);
}

/* Those files have their last good version, or stay out; what is left of them is loaded once more. One of `ports` and
 * `plane` has refused it. */
static void load_without(struct instance *instance, const struct port_change *ports, const struct plane *plane) {
  struct error error;
  struct start_refusal refusal = {.instance = instance,
                                  .reported = calloc(instance->loaded.file_count + 1, sizeof(bool))};
  refusal.status = refusal.reported ? 0 : -ENOMEM;
  if (refusal.status == 0)
    refuse_each(&refusal, ports, plane);
  free(refusal.reported);
  if (refusal.status == 0 && ++instance->refusals <= 2 * instance->loaded.file_count + 2) {
    instance_drop_routes(instance);
    load_first(instance);
    return;
  }
  error_set(&error, EINVAL, "the routes can't go live, whichever files are left out");
  instance_complain(NULL, &error);
  fail_start(instance);
}

static void complain_of_plane(const struct plane *plane) {
  const struct plane_fault *refusal = plane->refusals.count > 0 ? &plane->refusals.faults[0] : NULL;
  char subject[SUBJECT_SIZE] = "engine";
  struct error error = plane->error;
  if (refusal) {
    snprintf(subject, sizeof subject, "route \"%s\" (%s:%d)%s%s", refusal->route->name, refusal->route->file,
             refusal->route->line, refusal->field[0] ? ": " : "", refusal->field);
    error_set(&error, error.code, "%s", refusal->message);
  }
  instance_complain(subject, &error);
}

static void on_first_committed(struct plane *plane, int status, void *context) {
  struct instance *instance = context;
  if (instance->phase != INSTANCE_STARTING)
    return;
  if (status == 0) {
    plane_retire(plane);
    begin_serving(instance);
    return;
  }
  plane_abort(plane);
  if (plane->refusals.count > 0 && !instance->strict) {
    load_without(instance, NULL, plane);
    return;
  }
  complain_of_plane(plane);
  fail_start(instance);
}

static void on_first_prepared(struct plane *plane, int status, void *context) {
  if (status == 0)
    plane_commit(plane, on_first_committed, context);
  else
    on_first_committed(plane, status, context);
}

/* Nobody else has its ports. */
static void serve_table(struct instance *instance) {
  if (plane_is_concerned(instance->plane, instance->table))
    plane_prepare(instance->plane, instance->table, on_first_prepared, instance);
  else
    begin_serving(instance);
}

static void on_first_loaded(void *context, int status) {
  struct instance *instance = context;
  struct port_change *ports = instance_take_routes(instance, status) == 0 ? instance_probe_ports(instance) : NULL;
  if (!ports) {
    fail_start(instance);
  } else if (ports->failure_count == 0) {
    serve_table(instance);
  } else if (!instance->strict) {
    load_without(instance, ports, NULL);
  } else {
    instance_complain_of_port(&ports->failures[0], instance->table);
    fail_start(instance);
  }
  port_change_free(ports);
}

/* 0 or -1, having said why. */
static int begin_start(struct instance *instance, const struct native_settings *settings) {
  struct error error;
  signals_hold();
  descriptors_raise_limit();
  if (names_init(&instance->names) != 0) {
    error_set(&error, ENOMEM, "no memory to start");
    return instance_complain(NULL, &error);
  }
  instance->strict = settings->strict;
  if (instance_load_config(instance, settings) != 0)
    return -1;
  instance->signals = signals_new(&instance->runtime->loop, &instance->runtime->log, &instance->account,
                                  &signal_callbacks, instance, instance->config.timeouts.shutdown, &error);
  if (!instance->signals)
    return instance_complain(NULL, &error);
  if (instance_open_admin(instance) != 0)
    return -1;
  load_first(instance);
  return 0;
}

void instance_start(struct instance *instance, const struct native_settings *settings) {
  if (begin_start(instance, settings) != 0)
    fail_start(instance);
}
