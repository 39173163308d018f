/* SPDX-License-Identifier: MIT
 *
 * Jobs that are waited for. */
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

struct apart {
  struct loading_job job;
  struct loader *loader;
  struct verdict *verdict; /* the waiter's, while it waits */
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
static int list_hanging(struct loader *loader, const struct verdict *verdict, struct loaded_routes *loaded) {
  int status = loader_list_failures(loader, &loaded->faults);
  if (status == 0)
    status = fault_list_add(&loaded->faults, NULL, 0, NULL, NULL, verdict->message);
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
    return list_hanging(loading->loader, &verdict, loaded);
  *loaded = apart->loaded;
  apart->loaded = (struct loaded_routes){0};
  status = apart->status;
  apart_drop(&apart->job);
  return status;
}
