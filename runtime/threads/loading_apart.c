/* SPDX-License-Identifier: MIT
 *
 * Jobs that are waited for, and the one of a start, which has its caller told. */
#include "threads/loading_apart.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the waiter hears of a job that is no longer its own. */
struct verdict {
  enum loader_loss loss;
  char message[LOADING_MESSAGE_SIZE];
};

/* Who is told, when nobody waits. */
struct apart_caller {
  struct loading *loading;
  struct loaded_routes *loaded;
  void (*on_loaded)(void *context, int status);
  void *context;
};

struct apart {
  struct loading_job job;
  struct loader *loader;
  struct verdict *verdict; /* the waiter's, while it waits; NULL: nobody does */
  const struct config_overrides *overrides;
  bool lenient;
  struct config config;
  struct fault_list faults;
  const struct config *given;
  unsigned workers;
  loaded_number_of *number_of;
  void *context;
  struct loaded_routes loaded;
  int status;
  struct apart_caller caller;
  struct deferred refused; /* … is told so then: he may stop the loading, which is in the midst of it */
};

static struct apart *apart_of(struct loading_job *job) {
  return (struct apart *)(void *)((char *)job - offsetof(struct apart, job));
}

static void apart_drop(struct loading_job *job) {
  struct apart *apart = apart_of(job);
  config_clear(&apart->config);
  fault_list_clear(&apart->faults);
  loaded_routes_clear(&apart->loaded);
  free(apart);
}

static void hear_verdict(const struct apart *apart, enum loader_loss loss, const char *message) {
  apart->verdict->loss = loss;
  snprintf(apart->verdict->message, sizeof apart->verdict->message, "%s", message);
}

static void on_lost(struct loading_job *job, enum loader_loss loss, const char *message) {
  hear_verdict(apart_of(job), loss, message);
}

static bool on_apart_refused(struct loading_job *job, const char *message) {
  hear_verdict(apart_of(job), LOSS_FILE, message);
  apart_drop(job);
  return true;
}

static struct apart *apart_new(struct loading *loading, struct verdict *verdict, void (*run)(struct loading_job *job)) {
  struct apart *apart = calloc(1, sizeof *apart);
  if (!apart)
    return NULL;
  apart->job = (struct loading_job){.run = run, .on_lost = on_lost, .on_refused = on_apart_refused, .drop = apart_drop};
  apart->loader = loading->loader;
  apart->verdict = verdict;
  return apart;
}

/* On the loader thread. */
static void run_config(struct loading_job *job) {
  struct apart *apart = apart_of(job);
  apart->status = apart->lenient
                      ? loader_read_config_leniently(apart->loader, apart->overrides, &apart->config, &apart->faults)
                      : loader_read_config(apart->loader, apart->overrides, &apart->config, &apart->faults);
}

int loading_read_config(struct loading *loading, const struct config_overrides *overrides, bool lenient,
                        struct config *config, struct fault_list *faults) {
  struct verdict verdict;
  struct apart *apart = apart_new(loading, &verdict, run_config);
  *config = (struct config){0};
  if (!apart)
    return -ENOMEM;
  apart->overrides = overrides;
  apart->lenient = lenient;
  int status = loading_wait(loading, &apart->job);
  if (status < 0) {
    status =
        fault_list_add(faults, overrides->config ? overrides->config : "moongate.lua", 0, NULL, NULL, verdict.message);
    return status < 0 ? status : -EINVAL;
  }
  *config = apart->config;
  apart->config = (struct config){0};
  status = fault_list_append(faults, &apart->faults);
  if (status == 0)
    status = apart->status;
  apart_drop(&apart->job);
  return status;
}

/* On the loader thread. */
static void run_routes(struct loading_job *job) {
  struct apart *apart = apart_of(job);
  apart->status =
      loader_load_routes(apart->loader, apart->given, apart->workers, apart->number_of, apart->context, &apart->loaded);
}

/* Those that hang are named too. */
static int list_hanging(struct loader *loader, const char *message, struct loaded_routes *loaded) {
  int status = loader_list_failures(loader, &loaded->faults);
  if (status == 0)
    status = fault_list_add(&loaded->faults, NULL, 0, NULL, NULL, message);
  return status < 0 ? status : -EBUSY;
}

int loading_load_routes(struct loading *loading, const struct config *config, unsigned workers,
                        loaded_number_of *number_of, void *context, struct loaded_routes *loaded) {
  struct verdict verdict;
  struct apart *apart;
  int status;
  *loaded = (struct loaded_routes){0};
  do {
    apart = apart_new(loading, &verdict, run_routes);
    if (!apart)
      return -ENOMEM;
    apart->given = config;
    apart->workers = workers;
    apart->number_of = number_of;
    apart->context = context;
    status = loading_wait(loading, &apart->job);
  } while (status == -ETIMEDOUT);
  if (status < 0)
    return list_hanging(loading->loader, verdict.message, loaded);
  *loaded = apart->loaded;
  apart->loaded = (struct loaded_routes){0};
  status = apart->status;
  apart_drop(&apart->job);
  return status;
}

/* What was loaded is the caller's, and the job nobody's. */
static void tell_loaded(struct apart *apart, int status) {
  const struct apart_caller caller = apart->caller;
  *caller.loaded = apart->loaded;
  apart->loaded = (struct loaded_routes){0};
  apart_drop(&apart->job);
  caller.on_loaded(caller.context, status);
}

static void on_routes_done(struct loading_job *job) { tell_loaded(apart_of(job), apart_of(job)->status); }

/* Without the file that it was lost in, which is at fault now. */
static void on_routes_lost(struct loading_job *job, enum loader_loss loss, const char *message) {
  const struct apart *lost = apart_of(job);
  const struct apart_caller *caller = &lost->caller;
  (void)loss, (void)message;
  int status = loading_begin_routes(caller->loading, lost->given, lost->workers, caller->loaded, caller->on_loaded,
                                    caller->context);
  if (status < 0)
    caller->on_loaded(caller->context, status);
}

static void on_routes_refused_told(struct deferred *deferred) {
  struct apart *apart = (struct apart *)(void *)((char *)deferred - offsetof(struct apart, refused));
  tell_loaded(apart, apart->status);
}

static bool on_routes_refused(struct loading_job *job, const char *message) {
  struct apart *apart = apart_of(job);
  apart->status = list_hanging(apart->loader, message, &apart->loaded);
  apart->refused.run = on_routes_refused_told;
  loop_defer(apart->caller.loading->control, &apart->refused);
  return true;
}

int loading_begin_routes(struct loading *loading, const struct config *config, unsigned workers,
                         struct loaded_routes *loaded, void (*on_loaded)(void *context, int status), void *context) {
  struct apart *apart = apart_new(loading, NULL, run_routes);
  if (!apart)
    return -ENOMEM;
  apart->job.on_done = on_routes_done;
  apart->job.on_lost = on_routes_lost;
  apart->job.on_refused = on_routes_refused;
  apart->given = config;
  apart->workers = workers;
  apart->caller =
      (struct apart_caller){.loading = loading, .loaded = loaded, .on_loaded = on_loaded, .context = context};
  loading_post(loading, &apart->job);
  return 0;
}
