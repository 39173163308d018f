/* SPDX-License-Identifier: MIT
 *
 * The steps of a round that the loader thread does: loading, making the table, storing. Each works on a record of its
 * own, which is left to the thread if it does not come back. */
#include "reload/reload_private.h"

#include "instance/instance.h"
#include "instance/runtime.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { STORE_MS = 250 }; /* at a time: so long a save waits for the copies of those before it */

struct reload_job {
  struct loading_job job;
  struct reload *reload; /* not once the thread is lost, like all that belongs to the instance */
  const struct log *log;
  bool reads_config;
  bool has_config, config_changed; /* as in the round, for which the rest is likewise */
  struct config config;
  struct fault_list config_faults;
  struct value *notes;
  int status;
  struct loaded_routes loaded;
  struct route_table *table, *replaced;
  struct error error;
  bool is_same;
  bool is_rest;   /* of storing */
  bool is_stored; /* or tried */
  uint16_t *resolved;
  struct port_change *ports;
};

static struct reload_job *job_of(struct loading_job *job) {
  return (struct reload_job *)(void *)((char *)job - offsetof(struct reload_job, job));
}

static void reload_job_drop(struct loading_job *base) {
  struct reload_job *job = job_of(base);
  if (job->has_config)
    config_clear(&job->config);
  fault_list_clear(&job->config_faults);
  value_free(job->notes);
  loaded_routes_clear(&job->loaded);
  route_table_unref(job->table);
  route_table_unref(job->replaced);
  free(job->resolved);
  port_change_free(job->ports);
  free(job);
}

/* It goes on when a thread comes back; who asked for it need not wait so long. */
static bool on_reload_refused(struct loading_job *base, const char *message) {
  reload_refuse_all(job_of(base)->reload, message);
  return false;
}

/* Without the lock nothing is stored: another moongate's may be there. */
static bool may_store(const struct reload *reload) { return reload->instance->lock.fd >= 0; }

/* NULL: there is no memory, and the round is over. */
static struct reload_job *
job_new(struct reload *reload, void (*run)(struct loading_job *job), void (*on_done)(struct loading_job *job),
        void (*on_lost)(struct loading_job *job, enum loader_loss loss, const char *message)) {
  struct reload_job *job = calloc(1, sizeof *job);
  if (!job) {
    LOG(&reload->instance->runtime->log, LOG_ERROR, "no memory for a reload; what was live stays");
    reload_end_round(reload);
    return NULL;
  }
  job->job = (struct loading_job){
      .run = run, .on_done = on_done, .on_lost = on_lost, .on_refused = on_reload_refused, .drop = reload_job_drop};
  job->reload = reload;
  job->log = &reload->instance->runtime->log;
  return job;
}

static void reload_job_post(struct reload_job *job) { loading_post(&job->reload->instance->loading, &job->job); }

/* On the loader thread, as what is called `run_…`. The control thread leaves what this reads alone meanwhile. */
static void run_load(struct loading_job *base) {
  struct reload_job *job = job_of(base);
  struct instance *instance = job->reload->instance;
  struct loader *loader = instance->loader;
  loader_keep_vanished(loader, job->reload->at_once ? 0 : RELOAD_VANISHED_MS);
  if (job->reload->refusals == 0)
    loader_forget_exclusions(loader); /* of a round that was given up */
  if (job->reads_config) {
    struct config_overrides overrides = {instance->config_path, instance->routes_path, instance->workers_wanted};
    loader_read_anew(loader);
    int status = loader_read_config(loader, &overrides, &job->config, &job->config_faults);
    if (status == -ECANCELED)
      return;
    job->has_config = status == 0;
  }
  if (job->has_config)
    job->config_changed = job->config.hash != instance->config.hash;
  if (job->has_config && !job->notes && !(job->notes = reconfigure_prepare(&instance->config, &job->config))) {
    job->status = -ENOMEM;
    return;
  }
  job->status = loader_load_routes(loader, job->has_config ? &job->config : &instance->config,
                                   (unsigned)instance->threads.count, NULL, NULL, &job->loaded);
}

static void on_loaded(struct loading_job *base) {
  struct reload_job *job = job_of(base);
  struct reload *reload = job->reload;
  reload->config = job->config;
  reload->has_config = job->has_config;
  reload->config_changed = job->config_changed;
  reload->notes = job->notes;
  reload->status = job->status;
  reload->loaded = job->loaded;
  if (reload->config_faults.count == 0) {
    reload->config_faults = job->config_faults;
    job->config_faults = (struct fault_list){0};
  }
  job->has_config = false;
  job->notes = NULL;
  job->loaded = (struct loaded_routes){0};
  reload_job_drop(base);
  reload_on_loaded(reload);
}

/* What it was lost in is at fault from now on, and not run again: the round begins anew for the others. */
static void on_load_lost(struct loading_job *base, enum loader_loss loss, const char *message) {
  struct reload *reload = job_of(base)->reload;
  const char *path = reload->instance->config.path;
  if (loss == LOSS_CONFIG)
    fault_list_add(&reload->config_faults, path ? path : "moongate.lua", 0, NULL, NULL, message);
  reload_load(reload);
}

void reload_load(struct reload *reload) {
  struct reload_job *job = job_new(reload, run_load, on_loaded, on_load_lost);
  if (!job)
    return;
  job->reads_config = reload->with_config && !reload->has_config && reload->config_faults.count == 0;
  job->config = reload->config;
  job->has_config = reload->has_config;
  job->notes = reload->notes;
  reload->has_config = false;
  reload->notes = NULL;
  reload_enter(reload, RELOAD_LOADING);
  reload_job_post(job);
}

static bool is_same_table(const struct route_table *a, const struct route_table *b) {
  return a->route_count == b->route_count && a->script_count == b->script_count &&
         memcmp(a->routes, b->routes, a->route_count * sizeof(struct route *)) == 0 &&
         a->policy->digest == b->policy->digest &&
         memcmp(a->scripts, b->scripts, a->script_count * sizeof(struct script_version *)) == 0;
}

/* Opens what the new table wants beside the one that is live, unless somebody else has it. 0 or a negative errno. */
static int open_ports(struct reload_job *job, struct pace *pace) {
  const struct instance *instance = job->reload->instance;
  size_t count = instance->threads.count;
  job->resolved = calloc(job->table->port_count + 1, sizeof *job->resolved);
  job->ports = port_change_new(instance->table, job->table);
  struct worker **workers = calloc(count, sizeof *workers);
  int status = job->resolved && job->ports && workers ? 0 : -ENOMEM;
  for (size_t i = 0; i < count && workers; i++)
    workers[i] = &instance->threads.threads[i]->worker;
  if (status == 0)
    status = instance_note_admin_clash(instance, job->ports);
  if (status == 0)
    status = port_change_probe(job->ports, pace);
  if (status < 0)
    error_set(&job->error, ENOMEM, "no memory to open ports");
  else if (job->ports->failure_count == 0)
    status = port_change_open(job->ports, workers, count, instance->resolved, job->resolved, pace, &job->error);
  free(workers);
  return status;
}

/* The file of a route that can't go live is at fault. `reported`: which are already; a second time would take its last
 * good version too. 0 or -ENOMEM. */
static int exclude_file(struct reload *reload, bool *reported, const struct route *route, const char *field,
                        const char *message, const struct endpoint *awaited) {
  size_t file = loaded_routes_find(&reload->loaded, route->file);
  if (reported[file])
    return 0;
  reported[file] = true;
  return reload_exclude_file(reload, reload->instance->loader, route, field, message, awaited);
}

/* Those that ask for ports which can't be opened, or else those that the plane has refused. 0 or -ENOMEM. */
static int exclude_files(const struct reload_job *job) {
  struct reload *reload = job->reload;
  const struct plane_faults *refusals = job->ports ? NULL : swap_refusals(&reload->swap);
  bool *reported = calloc(reload->loaded.file_count + 1, sizeof *reported);
  int status = reported ? 0 : -ENOMEM;
  for (size_t i = 0; job->ports && i < job->ports->failure_count && status == 0; i++) {
    const struct port_failure *failure = &job->ports->failures[i];
    const struct table_port *port = &job->table->ports[failure->place];
    status = exclude_file(reload, reported, port->routes[0], "match.ports", failure->error.message,
                          instance_error_passes(&failure->error) ? &port->endpoint : NULL);
  }
  for (size_t i = 0; refusals && i < refusals->count && status == 0; i++)
    status = exclude_file(reload, reported, refusals->faults[i].route, refusals->faults[i].field,
                          refusals->faults[i].message, NULL);
  free(reported);
  return status;
}

/* A large table takes milliseconds, and thousands of ports more. */
static void run_make(struct loading_job *base) {
  struct reload_job *job = job_of(base);
  const struct reload *reload = job->reload;
  const struct instance *instance = reload->instance;
  job->table = instance_make_table(instance->table, loader_pace(instance->loader), &reload->loaded,
                                   reload->has_config ? reload->config.policy : instance->config.policy, &job->error);
  job->is_same = job->table && is_same_table(job->table, instance->table);
  if (!job->table || job->is_same)
    return;
  job->status = open_ports(job, loader_pace(instance->loader));
  if (job->ports && job->ports->failure_count > 0)
    job->status = exclude_files(job);
}

static void on_made(struct loading_job *base) {
  struct reload_job *job = job_of(base);
  struct reload *reload = job->reload;
  reload->table = job->table;
  reload->table_error = job->error;
  reload->is_same = job->is_same;
  reload->status = job->status;
  reload->resolved = job->resolved;
  reload->ports = job->ports;
  job->table = NULL;
  job->resolved = NULL;
  job->ports = NULL;
  reload_job_drop(base);
  reload_on_made(reload);
}

/* No user code is run, and no file is touched. */
static void on_make_lost(struct loading_job *base, enum loader_loss loss, const char *message) {
  (void)base, (void)loss, (void)message;
  assert(false && "lost in making a table");
}

void reload_make(struct reload *reload) {
  struct reload_job *job = job_new(reload, run_make, on_made, on_make_lost);
  if (job)
    reload_job_post(job);
}

static void run_exclude(struct loading_job *base) { job_of(base)->status = exclude_files(job_of(base)); }

static void on_excluded(struct loading_job *base) {
  struct reload *reload = job_of(base)->reload;
  reload->status = job_of(base)->status;
  reload_job_drop(base);
  reload_on_excluded(reload);
}

void reload_exclude(struct reload *reload) {
  struct reload_job *job = job_new(reload, run_exclude, on_excluded, on_make_lost);
  if (job)
    reload_job_post(job);
}

static void release_old(struct reload_job *job, struct pace *pace) {
  loaded_routes_clear(&job->loaded);
  pace_breathe(pace);
  route_table_unref(job->table);
  pace_breathe(pace);
  job->table = NULL;
  route_table_unref(job->replaced);
  pace_breathe(pace);
  job->replaced = NULL;
}

/* What is live, unless it is the rest that a round before has left. */
static void run_store(struct loading_job *base) {
  struct reload_job *job = job_of(base);
  const struct instance *instance = job->reload->instance;
  struct pace *pace = loader_pace(instance->loader);
  pace_breathe(pace);
  release_old(job, pace); /* of 10,000 routes this takes a while, and the workers share the control thread's core */
  if (!job->is_rest && loader_commit(instance->loader, &instance->loaded) != 0)
    LOG(job->log, LOG_WARN, "no memory to remember what is live: the next reload loads all files");
  if (job->is_stored)
    job->status = loader_store_last_good(instance->loader, instance->config.state, STORE_MS, &job->error);
}

static void store_rest(struct reload *reload);

/* Whoever has asked is answered, and what came meanwhile is loaded, before the rest is stored. */
static void on_stored(struct loading_job *base) {
  struct reload *reload = job_of(base)->reload;
  bool has_rest = job_of(base)->status > 0;
  if (job_of(base)->is_stored)
    reload_stored(reload, job_of(base)->status, &job_of(base)->error);
  reload_job_drop(base);
  reload_end_round(reload);
  if (has_rest && reload->phase == RELOAD_IDLE)
    store_rest(reload);
}

/* The disk does not answer, which the log has already. */
static void on_store_lost(struct loading_job *base, enum loader_loss loss, const char *message) {
  (void)loss, (void)message;
  reload_end_round(job_of(base)->reload);
}

static void store_rest(struct reload *reload) {
  reload_enter(reload, RELOAD_STORING);
  struct reload_job *job = job_new(reload, run_store, on_stored, on_store_lost);
  if (!job)
    return;
  job->is_rest = true;
  job->is_stored = may_store(reload);
  reload_job_post(job);
}

void reload_store(struct reload *reload) {
  reload_enter(reload, RELOAD_STORING);
  struct reload_job *job = job_new(reload, run_store, on_stored, on_store_lost);
  if (!job)
    return;
  job->is_stored = may_store(reload);
  job->loaded = reload->loaded;
  reload->loaded = (struct loaded_routes){0};
  job->table = reload->table;
  reload->table = NULL;
  job->replaced = reload->replaced;
  reload->replaced = NULL;
  reload_job_post(job);
}
