/* SPDX-License-Identifier: MIT
 *
 * The life of an instance: its parts, and the reverse of the order in which they come up (start.c). */
#include "control/life.h"
#include "control/drain.h"
#include "control/measure.h"
#include "core/descriptors.h"
#include "instance/runtime.h"
#include "reload/files.h"
#include "reports/routes_report.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* All threads that ran have ended. */
void instance_release(struct instance *instance) {
  struct runtime *runtime = instance->runtime;
  files_stop(instance);
  reload_stop(instance->reload);
  parts_stop(instance);
  signals_leave(instance->signals);
  loop_cancel_timer(&runtime->loop, &instance->patience);
  loop_undefer(&runtime->loop, &instance->finish);
  measure_stop(runtime);
  threads_deinit(&instance->threads);
  reload_deinit(instance->reload);
  snapshots_deinit(&instance->snapshots); /* answers, and who is answered may ask for the status */
  if (instance->plane)
    plane_deinit(instance->plane);
  asks_deinit(&instance->asks);
  diagnose_deinit(instance->diagnose);
  heartbeats_deinit(instance->heartbeats);
  admin_close(instance->control);
  admin_close(instance->admin);
  if (runtime->instance == instance || runtime->starting == instance) {
    runtime->admins[0] = instance->control;
    runtime->admins[1] = instance->admin;
    runtime->instance = runtime->starting = NULL;
  }
  route_table_unref(instance->table);
  free(instance->resolved);
  loaded_routes_clear(&instance->loaded);
  runtime->left_behind |= loading_deinit(&instance->loading);
  blocking_unref(instance->change_lost);
  loader_free(instance->loader);
  folding_deinit(&instance->folding);
  names_deinit(&instance->names);
  host_table_unref(instance->hosts);
  instance_lock_release(&instance->lock);
  config_clear(&instance->config);
  free(instance->control_path);
  free(instance->config_path);
  free(instance->routes_path);
  if (instance->on_released)
    instance->on_released(instance);
  else
    free((struct life *)(void *)((char *)instance - offsetof(struct life, instance)));
}

static void on_finish(struct deferred *deferred) {
  struct instance *instance = (struct instance *)(void *)((char *)deferred - offsetof(struct instance, finish));
  struct native_call *call = instance->call;
  int status = instance->status;
  if (status == 0)
    LOG(instance->log, LOG_INFO, "stopped", LOG_INTEGER("pid", getpid()),
        LOG_INTEGER("cut", instance_count_cut(instance)));
  instance_tell_drained(instance);
  instance_release(instance);
  if (call)
    native_call_answer(call, value_number(status));
}

static bool plane_has_ended(const struct instance *instance) {
  return !instance->plane || instance->plane->phase == PLANE_STOPPED;
}

static void finish_if_ended(struct instance *instance) {
  if (instance->threads_ended && instance->loading_ended && plane_has_ended(instance))
    loop_defer(&instance->runtime->loop, &instance->finish);
}

static void on_threads_ended(void *context) {
  struct instance *instance = context;
  instance->threads_ended = true;
  finish_if_ended(instance);
}

static void on_loading_ended(void *context) {
  struct instance *instance = context;
  instance->loading_ended = true;
  finish_if_ended(instance);
}

/* A thread hangs in the kernel, or in what else nothing can stop: the others are done with theirs, and the process has
 * been told to end. */
static void on_stop_patience_over(struct wheel_timer *timer) {
  struct instance *instance = (struct instance *)(void *)((char *)timer - offsetof(struct instance, patience));
  const struct log *log = &instance->runtime->log;
  if (instance->threads_ended)
    LOG(log, LOG_WARN, "a thread does not answer; ending without it", LOG_STRING("thread", "loader"));
  else
    LOG(log, LOG_WARN, "a thread does not answer; ending without it", LOG_STRING("thread", "worker"),
        LOG_INTEGER("worker", threads_find_running(&instance->threads)));
  admin_close(instance->control);
  instance_lock_release(&instance->lock);
  _exit(instance->status ? instance->status : 1);
}

void instance_stop(struct instance *instance) {
  if (instance->phase == INSTANCE_STOPPING)
    return;
  files_stop(instance);
  reload_stop(instance->reload);
  parts_stop(instance);
  diagnose_stop(instance->diagnose);
  heartbeats_stop(instance->heartbeats);
  dns_watch_stop(instance->dns_watch);
  instance->phase = INSTANCE_STOPPING;
  loop_cancel_timer(&instance->runtime->loop, &instance->patience);
  instance->patience.on_expired = on_stop_patience_over;
  /* A worker of a spec has no thread that could hang. */
  if (!instance->config.settings.within)
    loop_set_timer(&instance->runtime->loop, &instance->patience, INSTANCE_STOP_MS);
  if (instance->signals)
    signals_end_within(instance->signals, SIGNALS_HURRY_MS);
  if (instance->loading.control)
    loading_stop(&instance->loading, on_loading_ended, instance);
  else
    on_loading_ended(instance);
  if (instance->threads.started > 0)
    threads_stop(&instance->threads);
  else
    on_threads_ended(instance);
  if (instance->plane)
    plane_stop(instance->plane, 0);
}

/* The workers have, or the plane has: the last of them ends the drain. */
static void on_part_drained(void *context) {
  struct instance *instance = context;
  if (instance->threads.drained == instance->threads.started && plane_has_ended(instance))
    instance_stop(instance);
}

static void on_plane_stopped(struct plane *plane, int status, void *context) {
  struct instance *instance = context;
  if (status != 0)
    LOG(instance->log, LOG_WARN, "an engine has not ended in time; what it has set up may be left",
        LOG_STRING("error", plane->error.message));
  if (instance->phase == INSTANCE_DRAINING)
    on_part_drained(instance);
  else
    finish_if_ended(instance);
}

int instance_make_workers(struct instance *instance, struct error *error) {
  struct runtime *runtime = instance->runtime;
  instance->threads.on_drained = on_part_drained;
  instance->threads.on_ended = on_threads_ended;
  instance->threads.context = instance;
  instance->config.settings.descriptors = descriptors_for_traffic();
  instance->hosts = resolver_table_new(&instance->config.settings.dns);
  if (!instance->hosts)
    return error_set(error, ENOMEM, "no memory for the names of targets");
  instance->config.settings.dns.table = instance->hosts;
  int status = threads_init(&instance->threads, instance->config.workers, &runtime->loop, instance->log,
                            &instance->config.settings, instance->config.limits.addresses, error);
  if (status)
    return status;
  limits_set_ipv6_prefix(instance->threads.admission.limits, instance->config.policy->ipv6_prefix);
  if (snapshots_init(&instance->snapshots, &runtime->loop, &instance->names, instance->threads.count) != 0)
    return error_set(error, ENOMEM, "no memory for the counters");
  if (folding_init(&instance->folding, &instance->names, &instance->snapshots, &instance->threads) != 0)
    return error_set(error, ENOMEM, "no memory for the counters");
  instance->snapshots.plane = instance->plane ? instance->plane->shard : NULL;
  for (size_t i = 0; i < instance->threads.count; i++)
    snapshots_set_worker(&instance->snapshots, i, &instance->threads.threads[i]->worker);
  return threads_set_table(&instance->threads, instance->table, instance->resolved, error);
}

void instance_init(struct life *life, struct runtime *runtime, const struct log *log) {
  struct instance *instance = &life->instance;
  instance->diagnose = &life->diagnose;
  instance->dns_watch = &life->dns_watch;
  instance->heartbeats = &life->heartbeats;
  instance->parts = life->parts;
  instance->reload = &life->reload;
  instance->stop = instance_stop;
  instance->runtime = runtime;
  instance->log = log;
  instance->lock.fd = -1;
  list_init(&instance->puts);
  list_init(&instance->changes);
  list_init(&instance->drain_waiters);
  asks_init(&instance->asks, &runtime->loop, &instance->threads, instance);
  instance->started = clock_wall(&runtime->clock);
  instance->started_ms = clock_now(&runtime->clock);
  instance->finish.run = on_finish;
}

void instance_run(struct runtime *runtime, const struct native_settings *settings, struct native_call *call) {
  struct life *life = NULL;
  if (!runtime->has_run)
    life = calloc(1, sizeof *life);
  if (!life) {
    error_complain("%s", runtime->has_run ? "one process runs one moongate" : "no memory to start");
    native_call_answer(call, value_number(1));
    return;
  }
  struct instance *instance = &life->instance;
  runtime->has_run = true;
  runtime->starting = instance;
  instance_init(life, runtime, &runtime->log);
  instance->plane = runtime->plane;
  if (instance->plane) {
    instance->plane->on_stopped = on_plane_stopped;
    instance->plane->owner = instance;
  }
  instance->call = call;
  instance_start(instance, settings);
}
