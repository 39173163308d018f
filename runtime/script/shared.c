/* SPDX-License-Identifier: MIT
 *
 * A list of dictionaries under a lock: it is asked once by each state for each name, and grows to some dozens. */
#include "script/shared.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct named_dictionary {
  struct named_dictionary *next;
  struct dictionary *dictionary;
  char name[];
};

struct script_shared {
  atomic_uint references;
  pthread_mutex_t lock;
  struct shared_limits limits; /* under lock, like all that follows */
  struct named_dictionary *first, **last;
  unsigned count;
  shared_asked_fn *asked;
  void *asked_context;
  struct registry *metrics;         /* has a lock of its own */
  struct printer *_Atomic printers; /* two, or NULL */
};

struct script_shared *script_shared_new(void) {
  struct script_shared *shared = calloc(1, sizeof *shared);
  struct registry *metrics = registry_new();
  if (!shared || !metrics) {
    free(shared);
    registry_free(metrics);
    return NULL;
  }
  atomic_init(&shared->references, 1);
  pthread_mutex_init(&shared->lock, NULL);
  shared->limits = (struct shared_limits){SHARED_DICTIONARIES, SHARED_DICTIONARY_BYTES, REGISTRY_SERIES};
  shared->last = &shared->first;
  shared->metrics = metrics;
  return shared;
}

struct script_shared *script_shared_ref(struct script_shared *shared) {
  atomic_fetch_add_explicit(&shared->references, 1, memory_order_relaxed);
  return shared;
}

void script_shared_unref(struct script_shared *shared) {
  if (!shared || atomic_fetch_sub_explicit(&shared->references, 1, memory_order_acq_rel) != 1)
    return;
  while (shared->first) {
    struct named_dictionary *named = shared->first;
    shared->first = named->next;
    dictionary_free(named->dictionary);
    free(named);
  }
  registry_free(shared->metrics);
  pthread_mutex_destroy(&shared->lock);
  free(shared);
}

void script_shared_limit(struct script_shared *shared, const struct shared_limits *limits) {
  pthread_mutex_lock(&shared->lock);
  shared->limits = *limits;
  pthread_mutex_unlock(&shared->lock);
  registry_limit(shared->metrics, limits->metric_series);
}

void script_shared_set_printers(struct script_shared *shared, struct printer printers[2]) {
  atomic_store(&shared->printers, printers);
}

struct printer *script_shared_printer(const struct script_shared *shared, bool is_error) {
  struct printer *printers = atomic_load(&shared->printers);
  return printers ? &printers[is_error] : NULL;
}

static struct named_dictionary *named_new(const char *name, size_t bytes) {
  size_t size = strlen(name) + 1;
  struct named_dictionary *named = malloc(sizeof *named + size);
  struct dictionary *dictionary = dictionary_new(bytes);
  if (!named || !dictionary) {
    free(named);
    dictionary_free(dictionary);
    return NULL;
  }
  named->next = NULL;
  named->dictionary = dictionary;
  memcpy(named->name, name, size);
  return named;
}

static struct named_dictionary *shared_find_or_make(struct script_shared *shared, const char *name, int *status) {
  for (struct named_dictionary *named = shared->first; named; named = named->next)
    if (strcmp(named->name, name) == 0)
      return named;
  *status = -ENOSPC;
  if (shared->count >= shared->limits.shared_dictionaries)
    return NULL;
  struct named_dictionary *named = named_new(name, (size_t)shared->limits.shared_memory);
  *status = -ENOMEM;
  if (!named)
    return NULL;
  *shared->last = named;
  shared->last = &named->next;
  shared->count++;
  return named;
}

struct dictionary *script_shared_dictionary(struct script_shared *shared, const char *name, int *status) {
  pthread_mutex_lock(&shared->lock);
  const struct named_dictionary *named = shared_find_or_make(shared, name, status);
  pthread_mutex_unlock(&shared->lock);
  return named ? named->dictionary : NULL;
}

unsigned script_shared_dictionary_limit(struct script_shared *shared) {
  pthread_mutex_lock(&shared->lock);
  unsigned limit = shared->limits.shared_dictionaries;
  pthread_mutex_unlock(&shared->lock);
  return limit;
}

struct registry *script_shared_metrics(struct script_shared *shared) {
  return shared->metrics;
}

void script_shared_each_dictionary(struct script_shared *shared,
                                   void (*each)(void *context, const char *name, const struct dictionary_size *size),
                                   void *context) {
  pthread_mutex_lock(&shared->lock);
  for (const struct named_dictionary *named = shared->first; named; named = named->next) {
    struct dictionary_size size;
    dictionary_measure(named->dictionary, &size);
    each(context, named->name, &size);
  }
  pthread_mutex_unlock(&shared->lock);
}

void script_shared_set_asked(struct script_shared *shared, shared_asked_fn *asked, void *context) {
  pthread_mutex_lock(&shared->lock);
  shared->asked = asked;
  shared->asked_context = context;
  pthread_mutex_unlock(&shared->lock);
}

bool script_shared_ask(struct script_shared *shared, struct shared_question *question) {
  pthread_mutex_lock(&shared->lock);
  bool asked = shared->asked && shared->asked(shared->asked_context, question);
  pthread_mutex_unlock(&shared->lock);
  return asked;
}
