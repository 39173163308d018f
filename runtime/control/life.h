/* SPDX-License-Identifier: MIT
 *
 * An instance with all its parts, from start to stop. */
#pragma once

#include "instance/dns_watch.h"
#include "instance/heartbeat.h"
#include "instance/instance.h"
#include "instance/parts.h"
#include "reload/reload.h"
#include "reports/diagnose.h"

struct life {
  struct instance instance;
  struct diagnose diagnose;
  struct dns_watch dns_watch;
  struct heartbeats heartbeats;
  struct part parts[PART_COUNT];
  struct reload reload;
};

/* Of a zeroed record. `log` outlives it. */
void instance_init(struct life *life, struct runtime *runtime, const struct log *log);

/* Begins (start.c), or ends it with the status 1, having said why. Its loop has to run for the routes to be loaded. */
void instance_start(struct instance *instance, const struct native_settings *settings);

/* Makes the workers, and what belongs to them, with the table; they don't run yet. */
int instance_make_workers(struct instance *instance, struct error *error);

/* Ends all at once; in the end instance->call is answered. */
void instance_stop(struct instance *instance);

/* Lets go of all of it, the record too: in the end, once all threads that ran have ended, or when a start has failed.
 */
void instance_release(struct instance *instance);

/* Starts, and answers `call` with the exit status once all has stopped; when starting fails, at once, after having said
 * why on standard error. One at a time. */
void instance_run(struct runtime *runtime, const struct native_settings *settings, struct native_call *call);
