/* SPDX-License-Identifier: MIT
 *
 * The rounds of reloading, one after the other: load, swap, store. What they say to people is in reload_report.c. */
#include "reload/reload.h"

#include "instance/instance.h"
#include "instance/runtime.h"
#include "reload/reload_private.h"
#include "script/version.h"
#include "script/worker_script.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void reload_begin_round(struct reload *reload);

/* What was made of the loaded routes, and they. */
static void clear_loaded(struct reload *reload) {
  loaded_routes_clear(&reload->loaded);
  route_table_unref(reload->table);
  reload->table = NULL;
  free(reload->resolved);
  reload->resolved = NULL;
  port_change_free(reload->ports);
  reload->ports = NULL;
  route_table_unref(reload->replaced);
  reload->replaced = NULL;
}

static void clear_round(struct reload *reload) {
  clear_loaded(reload);
  fault_list_clear(&reload->config_faults);
  value_free(reload->notes);
  reload->notes = NULL;
  if (reload->has_config)
    config_clear(&reload->config);
  reload->has_config = reload->config_changed = false;
}

/* Answering runs Lua, which may ask for the next round at once. */
void reload_end_round(struct reload *reload) {
  struct native_call *calls[RELOAD_WAITING_MAX];
  struct value *answers[RELOAD_WAITING_MAX];
  size_t count = reload->now_count;
  for (size_t i = 0; i < count; i++) {
    calls[i] = reload->now[i].call;
    answers[i] = reload_answer(reload, &reload->now[i]);
  }
  reload->now_count = 0;
  reload_enter(reload, RELOAD_IDLE);
  clear_round(reload);
  reload_await(reload);
  folding_begin(&reload->instance->folding);
  if (reload->again)
    reload_begin_round(reload);
  for (size_t i = 0; i < count; i++)
    native_call_answer(calls[i], answers[i]);
}

/* What was loaded is what is live: the next round is compared with it, and copies of the good files are written. */
static void commit(struct reload *reload) {
  const struct loaded_routes *loaded = &reload->instance->loaded;
  if (reload->watcher)
    watcher_set_files(reload->watcher, (const char *const *)loaded->module_files, loaded->module_file_count);
  reload_store(reload);
}

static void on_vanished(struct wheel_timer *timer) {
  reload_by_itself((struct reload *)(void *)((char *)timer - offsetof(struct reload, vanished)));
}

/* What has vanished, and is served yet, is looked for once more when it is taken for gone. */
static void await_vanished(struct reload *reload) {
  struct loop *loop = &reload->instance->runtime->loop;
  uint64_t ms = reload->instance->loaded.vanished_ms;
  reload->vanished.on_expired = on_vanished;
  if (ms > 0)
    loop_set_timer(loop, &reload->vanished, ms);
  else
    loop_cancel_timer(loop, &reload->vanished);
}

/* The old state of files goes. */
static void take_loaded(struct reload *reload) {
  struct instance *instance = reload->instance;
  reload_log_recovered(reload);
  if (reload->has_config)
    reconfigure(instance, &reload->config);
  struct loaded_routes before = instance->loaded;
  instance->loaded = reload->loaded;
  reload->loaded = before;
  await_vanished(reload);
  commit(reload);
}

/* The oldest go when there are too many: their connections are closed. */
static void supersede(struct reload *reload, size_t count) {
  struct old_versions *old = &reload->instance->old;
  struct threads *threads = &reload->instance->threads;
  LOG(&reload->instance->runtime->log, LOG_WARN,
      "too many old versions of files live: closing the connections of the oldest",
      LOG_STRING("file", old->versions[0]->file), LOG_INTEGER("versions", count),
      LOG_INTEGER("limits.old_versions", reload->instance->config.limits.old_versions));
  for (size_t i = 0; i < threads->count; i++)
    script_worker_supersede_soon(&threads->threads[i]->worker, old->versions, count);
  for (size_t i = 0; i < count; i++)
    script_version_unref(old->versions[i]);
  old->count -= count;
  memmove(old->versions, old->versions + count, old->count * sizeof(struct script_version *));
}

void reload_forget_finished(struct reload *reload) {
  struct old_versions *old = &reload->instance->old;
  size_t kept = 0;
  for (size_t i = 0; i < old->count; i++) {
    if (atomic_load_explicit(&old->versions[i]->living, memory_order_acquire) > 0)
      old->versions[kept++] = old->versions[i];
    else
      script_version_unref(old->versions[i]);
  }
  old->count = kept;
}

static void remember_old(struct reload *reload, const struct route_table *before) {
  struct old_versions *old = &reload->instance->old;
  reload_forget_finished(reload);
  struct script_version **grown =
      realloc(old->versions, (old->count + before->script_count + 1) * sizeof(struct script_version *));
  if (!grown)
    return; /* they live on, uncounted */
  old->versions = grown;
  const struct route_table *table = reload->instance->table;
  for (size_t i = 0; i < table->script_count; i++)
    table->scripts[i]->generation = table->generation;
  for (size_t i = 0; i < before->script_count; i++)
    if (before->scripts[i]->generation != table->generation)
      old->versions[old->count++] = script_version_ref(before->scripts[i]);
  reload_forget_finished(reload);
  if (old->count > reload->instance->config.limits.old_versions)
    supersede(reload, old->count - reload->instance->config.limits.old_versions);
}

static void reload_announce_all(struct reload *reload) {
  struct threads *threads = &reload->instance->threads;
  for (size_t i = 0; i < threads->count; i++)
    reload_announce(reload, &threads->threads[i]->worker);
}

static void reload_go_live(struct reload *reload) {
  struct instance *instance = reload->instance;
  struct route_table *old = instance->table;
  instance->table = reload->table;
  reload->table = NULL;
  uint16_t *resolved = instance->resolved;
  instance->resolved = reload->resolved;
  reload->resolved = resolved;
  limits_set_ipv6_prefix(instance->threads.admission.limits, instance->table->policy->ipv6_prefix);
  instance->names.gone_most = instance->config.limits.gone_routes;
  names_retain(&instance->names, old, instance->table, loop_now(&instance->runtime->loop));
  remember_old(reload, old);
  reload->replaced = old;
  double seconds = (double)(clock_ns(&instance->runtime->clock) - reload->began_ns) / 1e9;
  reload->totals.swaps++;
  reload->totals.seconds += seconds;
  reload->totals.last_seconds = seconds;
  reload_log_swap(reload);
  reload_announce_all(reload);
  take_loaded(reload);
}

/* Files that asked for ports which can't be opened, or for what an engine can't do, keep their last good version, and
 * the round begins anew for the others. `route` is one of them. */
static void refuse_files(struct reload *reload, const struct route *route, const char *message) {
  bool again = ++reload->refusals <= 2 * reload->loaded.file_count + 2;
  if (!again || reload->status != 0) {
    LOG(&reload->instance->runtime->log, LOG_ERROR,
        again ? "no memory to leave a file out whose routes can't go live; what was live stays"
              : "the routes can't go live, whichever files are left out; what was live stays",
        LOG_STRING("file", route->file), LOG_STRING("route", route->name), LOG_STRING("error", message));
    reload_end_round(reload);
    return;
  }
  clear_loaded(reload);
  reload_load(reload);
}

void reload_on_excluded(struct reload *reload) {
  const struct plane_fault *refusal = &swap_refusals(&reload->swap)->faults[0];
  refuse_files(reload, refusal->route, refusal->message);
}

static void on_swapped(struct swap *swap, int status) {
  struct reload *reload = (struct reload *)(void *)((char *)swap - offsetof(struct reload, swap));
  if (status == 0) {
    reload_go_live(reload);
    return;
  }
  if (swap_refusals(swap)) {
    reload_exclude(reload);
    return;
  }
  LOG(&reload->instance->runtime->log, status == -ESHUTDOWN ? LOG_INFO : LOG_ERROR,
      "the swap was given up; what was live stays", LOG_STRING("at", swap->error.place[0] ? swap->error.place : NULL),
      LOG_STRING("error", swap->error.message));
  reload_end_round(reload);
}

void reload_on_made(struct reload *reload) {
  struct instance *instance = reload->instance;
  if (reload->ports && reload->ports->failure_count > 0) {
    const struct port_failure *failure = &reload->ports->failures[0];
    refuse_files(reload, reload->table->ports[failure->place].routes[0], failure->error.message);
    return;
  }
  if (!reload->table || reload->status < 0) {
    LOG(&instance->runtime->log, LOG_ERROR, "the routes can't go live",
        LOG_STRING("error", reload->table_error.message));
    reload_end_round(reload);
    return;
  }
  if (reload->is_same) {
    if (reload->has_config && (reload->config_changed || reload->loaded.faults.count == 0))
      LOG(&instance->runtime->log, LOG_INFO, reload->config_changed ? "the config is live" : "nothing has changed",
          LOG_INTEGER("generation", instance->table->generation));
    take_loaded(reload);
    return;
  }
  reload->table->generation = instance->table->generation + 1;
  reload_enter(reload, RELOAD_SWAPPING);
  swap_begin(&reload->swap, reload->table, reload->ports, on_swapped);
}

/* A file that a round had loaded before, and that did not go live then, has its numbers from that. */
static void renew_names(struct reload *reload) {
  for (size_t i = 0; i < reload->loaded.file_count; i++)
    for (size_t k = 0; k < reload->loaded.files[i].route_count && !reload->loaded.files[i].same; k++)
      names_renew(&reload->instance->names, reload->loaded.files[i].routes[k]);
}

void reload_on_loaded(struct reload *reload) {
  reload_log_faults(reload);
  reload_keep_standing(reload);
  if (reload->status != 0 && reload->loaded.faults.count == 0) { /* no memory, no descriptors: nothing was looked at */
    reload_end_round(reload);
    return;
  }
  loaded_routes_number(&reload->loaded, instance_number_of, &reload->instance->names);
  renew_names(reload);
  reload_make(reload);
}

static void reload_begin_round(struct reload *reload) {
  reload->again = false;
  reload->with_config = reload->again_with_config;
  reload->at_once = reload->again_at_once;
  reload->again_with_config = reload->again_at_once = false;
  memcpy(reload->now, reload->next, reload->next_count * sizeof(struct reload_waiter));
  reload->now_count = reload->next_count;
  reload->next_count = 0;
  reload->refusals = 0;
  reload->totals.rounds++;
  reload_forget_awaited(reload);
  reload->began_ns = clock_ns(&reload->instance->runtime->clock);
  reload_load(reload);
}

static void request(struct instance *instance, bool with_config, const struct reload_waiter *waiter) {
  struct reload *reload = instance->reload;
  if (instance->phase != INSTANCE_READY || reload->next_count == RELOAD_WAITING_MAX) {
    bool is_ready = instance->phase == INSTANCE_READY, is_starting = instance->phase == INSTANCE_STARTING;
    reload->again_with_config |= with_config && is_ready; /* SIGHUP; a round follows already */
    if (waiter->call)
      native_call_answer(waiter->call,
                         reload_refusal(waiter, is_ready      ? "too many reloads are waited for"
                                                : is_starting ? "moongate is starting"
                                                              : "moongate is stopping: nothing changes any more"));
    return;
  }
  char why[RELOAD_OVERDUE_SIZE];
  bool is_overdue = reload_is_overdue(reload, why);
  reload->again = true;
  reload->again_with_config |= with_config;
  reload->again_at_once |= with_config || waiter->call;
  if (waiter->call && is_overdue)
    native_call_answer(waiter->call, reload_refusal(waiter, why));
  else if (waiter->call)
    reload->next[reload->next_count++] = *waiter;
  if (reload->phase == RELOAD_IDLE)
    reload_begin_round(reload);
}

void instance_reload(struct instance *instance, bool with_config, struct native_call *call) {
  request(instance, with_config, &(struct reload_waiter){.call = call});
}

void instance_reload_file(struct instance *instance, const char *file, int status, struct native_call *call) {
  struct reload_waiter waiter = {.call = call, .file_status = status};
  snprintf(waiter.file, sizeof waiter.file, "%s", file);
  request(instance, false, &waiter);
}

/* What waits is looked at soon, once somebody has done something. */
static void on_directory_changed(void *context) {
  struct instance *instance = context;
  instance->reload->await_ms = 0;
  instance_reload(instance, false, NULL);
}

void reload_by_itself(struct reload *reload) { instance_reload(reload->instance, false, NULL); }

int reload_start(struct instance *instance, struct error *error) {
  struct reload *reload = instance->reload;
  const struct log *log = &instance->runtime->log;
  reload->instance = instance;
  int status = swap_init(&reload->swap, &instance->threads, instance->plane);
  if (status)
    return error_set(error, -status, "no memory to start");
  instance->loading.paced = true;
  struct error cause;
  reload->watcher = watcher_new(&instance->runtime->loop, &instance->loading, instance->config.routes,
                                on_directory_changed, instance, &cause);
  if (!reload->watcher)
    LOG(log, LOG_WARN, "changes are not noticed by themselves: moongate reload takes them up",
        LOG_STRING("error", cause.message));
  commit(reload);
  reload_await(reload);
  reload_keep_state(instance);
  return 0;
}

void reload_refuse_all(struct reload *reload, const char *why) {
  while (reload->now_count + reload->next_count > 0) {
    const struct reload_waiter waiter =
        reload->now_count > 0 ? reload->now[--reload->now_count] : reload->next[--reload->next_count];
    native_call_answer(waiter.call, reload_refusal(&waiter, why));
  }
}

void reload_stop(struct reload *reload) {
  if (!reload->instance)
    return;
  watcher_free(reload->watcher);
  reload->watcher = NULL;
  loop_cancel_timer(&reload->instance->runtime->loop, &reload->patience);
  loop_cancel_timer(&reload->instance->runtime->loop, &reload->await);
  loop_cancel_timer(&reload->instance->runtime->loop, &reload->vanished);
  reload->again = false;
  reload_refuse_all(reload, "moongate is stopping");
}

void reload_deinit(struct reload *reload) {
  reload_forget_awaited(reload); /* the start notes these, whether it comes to an end or not */
  if (!reload->instance)
    return;
  swap_deinit(&reload->swap);
  clear_round(reload);
  reload_clear_standing(reload);
  blocking_unref(reload->keeping_lost);
  struct old_versions *old = &reload->instance->old;
  for (size_t i = 0; i < old->count; i++)
    script_version_unref(old->versions[i]);
  free(old->versions);
  *old = (struct old_versions){.count = 0};
  *reload = (struct reload){.instance = NULL};
}
