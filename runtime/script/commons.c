/* SPDX-License-Identifier: MIT
 *
 * A list of dictionaries under a lock: it is asked once by each state for each name, and grows to some dozens. */
#include "script/commons.h"

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

struct script_commons {
  atomic_uint references;
  pthread_mutex_t lock;
  struct commons_limits limits; /* under lock, like all that follows */
  struct named_dictionary *first, **last;
  unsigned count;
  commons_asked_fn *asked;
  void *asked_context;
  struct registry *metrics;         /* has a lock of its own */
  struct printer *_Atomic printers; /* two, or NULL */
};

struct script_commons *commons_new(void) {
  struct script_commons *commons = calloc(1, sizeof *commons);
  struct registry *metrics = registry_new();
  if (!commons || !metrics) {
    free(commons);
    registry_free(metrics);
    return NULL;
  }
  atomic_init(&commons->references, 1);
  pthread_mutex_init(&commons->lock, NULL);
  commons->limits = (struct commons_limits){COMMONS_DICTIONARIES, COMMONS_DICTIONARY_BYTES, REGISTRY_SERIES};
  commons->last = &commons->first;
  commons->metrics = metrics;
  return commons;
}

struct script_commons *commons_ref(struct script_commons *commons) {
  atomic_fetch_add_explicit(&commons->references, 1, memory_order_relaxed);
  return commons;
}

void commons_unref(struct script_commons *commons) {
  if (!commons || atomic_fetch_sub_explicit(&commons->references, 1, memory_order_acq_rel) != 1)
    return;
  while (commons->first) {
    struct named_dictionary *named = commons->first;
    commons->first = named->next;
    dictionary_free(named->dictionary);
    free(named);
  }
  registry_free(commons->metrics);
  pthread_mutex_destroy(&commons->lock);
  free(commons);
}

void commons_limit(struct script_commons *commons, const struct commons_limits *limits) {
  pthread_mutex_lock(&commons->lock);
  commons->limits = *limits;
  pthread_mutex_unlock(&commons->lock);
  registry_limit(commons->metrics, limits->metric_series);
}

void commons_set_printers(struct script_commons *commons, struct printer printers[2]) {
  atomic_store(&commons->printers, printers);
}

struct printer *commons_printer(const struct script_commons *commons, bool is_error) {
  struct printer *printers = atomic_load(&commons->printers);
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

static struct named_dictionary *commons_find_or_make(struct script_commons *commons, const char *name, int *status) {
  for (struct named_dictionary *named = commons->first; named; named = named->next)
    if (strcmp(named->name, name) == 0)
      return named;
  *status = -ENOSPC;
  if (commons->count >= commons->limits.shared_dictionaries)
    return NULL;
  struct named_dictionary *named = named_new(name, (size_t)commons->limits.shared_memory);
  *status = -ENOMEM;
  if (!named)
    return NULL;
  *commons->last = named;
  commons->last = &named->next;
  commons->count++;
  return named;
}

struct dictionary *commons_dictionary(struct script_commons *commons, const char *name, int *status) {
  pthread_mutex_lock(&commons->lock);
  const struct named_dictionary *named = commons_find_or_make(commons, name, status);
  pthread_mutex_unlock(&commons->lock);
  return named ? named->dictionary : NULL;
}

unsigned commons_dictionary_limit(struct script_commons *commons) {
  pthread_mutex_lock(&commons->lock);
  unsigned limit = commons->limits.shared_dictionaries;
  pthread_mutex_unlock(&commons->lock);
  return limit;
}

struct registry *commons_metrics(struct script_commons *commons) {
  return commons->metrics;
}

void commons_each_dictionary(struct script_commons *commons,
                             void (*each)(void *context, const char *name, const struct dictionary_size *size),
                             void *context) {
  pthread_mutex_lock(&commons->lock);
  for (const struct named_dictionary *named = commons->first; named; named = named->next) {
    struct dictionary_size size;
    dictionary_measure(named->dictionary, &size);
    each(context, named->name, &size);
  }
  pthread_mutex_unlock(&commons->lock);
}

void commons_set_asked(struct script_commons *commons, commons_asked_fn *asked, void *context) {
  pthread_mutex_lock(&commons->lock);
  commons->asked = asked;
  commons->asked_context = context;
  pthread_mutex_unlock(&commons->lock);
}

bool commons_ask(struct script_commons *commons, struct commons_question *question) {
  pthread_mutex_lock(&commons->lock);
  bool asked = commons->asked && commons->asked(commons->asked_context, question);
  pthread_mutex_unlock(&commons->lock);
  return asked;
}
