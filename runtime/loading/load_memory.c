/* SPDX-License-Identifier: MIT
 *
 * What the loader remembers of each file. */
#include "loading/load_memory.h"

#include "loading/load_private.h"

#include "routing/balance.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct file_version *file_version_new(const char *file) {
  struct file_version *good = calloc(1, sizeof *good);
  if (!good || !(good->file = strdup(file))) {
    free(good);
    return NULL;
  }
  atomic_init(&good->references, 1);
  return good;
}

struct file_version *file_version_ref(struct file_version *good) {
  atomic_fetch_add_explicit(&good->references, 1, memory_order_relaxed);
  return good;
}

void file_version_unref(struct file_version *good) {
  if (!good || atomic_fetch_sub_explicit(&good->references, 1, memory_order_acq_rel) != 1)
    return;
  for (size_t i = 0; i < good->route_count; i++)
    route_unref(good->routes[i]);
  free(good->routes);
  claims_clear(&good->claims);
  script_version_unref(good->version);
  module_list_clear(&good->modules);
  fault_list_clear(&good->warnings);
  free(good->text);
  free(good->file);
  free(good);
}

static int compare_memory_name(const void *left, const void *right) {
  struct route *const *a = left, *const *b = right;
  return strcmp((*a)->name, (*b)->name);
}

void file_version_share_routes(struct file_version *good, const struct file_version *before) {
  if (before->route_count == 0)
    return;
  struct route **sorted = calloc(before->route_count, sizeof(struct route *));
  if (!sorted)
    return; /* they are only made anew */
  memcpy(sorted, before->routes, before->route_count * sizeof(struct route *));
  qsort(sorted, before->route_count, sizeof(struct route *), compare_memory_name);
  for (size_t i = 0; i < good->route_count; i++) {
    struct route **found =
        bsearch(&good->routes[i], sorted, before->route_count, sizeof(struct route *), compare_memory_name);
    if (!found)
      continue;
    if (!route_equal(good->routes[i], *found)) {
      route_share_loads(good->routes[i], *found);
      continue;
    }
    (*found)->line = good->routes[i]->line;
    route_unref(good->routes[i]);
    good->routes[i] = route_ref(*found);
  }
  free(sorted);
}

void file_failure_clear(struct file_failure *failure) {
  module_list_clear(&failure->modules);
  fault_list_clear(&failure->faults);
  fault_list_clear(&failure->named);
  blocking_unref(failure->lost);
  *failure = (struct file_failure){0};
}

static void exclusion_clear(struct file_memory *file) {
  if (file->exclusion.times > 0)
    fault_clear(&file->exclusion.fault);
  file->exclusion = (struct exclusion){.times = 0};
}

static void file_memory_clear(struct file_memory *file) {
  file_version_unref(file->committed);
  file_version_unref(file->fresh);
  file_failure_clear(&file->failure);
  fault_list_clear(&file->between);
  exclusion_clear(file);
  free(file->file);
}

/* The place of the first whose name is not before `file`. */
static size_t find_place(const struct memory *memory, const char *file) {
  size_t from = 0, to = memory->count;
  while (from < to) {
    size_t middle = from + (to - from) / 2;
    if (strcmp(memory->files[middle].file, file) < 0)
      from = middle + 1;
    else
      to = middle;
  }
  return from;
}

struct file_memory *memory_find(const struct memory *memory, const char *file) {
  size_t place = find_place(memory, file);
  return place < memory->count && strcmp(memory->files[place].file, file) == 0 ? &memory->files[place] : NULL;
}

struct file_memory *memory_enter(struct memory *memory, const char *file) {
  struct file_memory *found = memory_find(memory, file);
  if (found)
    return found;
  char *name = strdup(file);
  struct file_memory *files = name ? realloc(memory->files, (memory->count + 1) * sizeof *files) : NULL;
  if (!files) {
    free(name);
    return NULL;
  }
  memory->files = files;
  size_t place = find_place(memory, file);
  memmove(&files[place + 1], &files[place], (memory->count - place) * sizeof *files);
  files[place] = (struct file_memory){.file = name};
  memory->count++;
  return &files[place];
}

void memory_forget_fresh(struct memory *memory, const char *file) {
  struct file_memory *found = memory_find(memory, file);
  if (!found)
    return;
  file_version_unref(found->fresh);
  found->fresh = NULL;
  if (found->committed || found->failure.is_known || found->failure.lost || found->fault_sum ||
      found->exclusion.times > 0 || found->copy_is_lost)
    return;
  file_memory_clear(found);
  size_t behind = memory->count - (size_t)(found + 1 - memory->files);
  memmove(found, found + 1, behind * sizeof *found);
  memory->count--;
}

void memory_retain(struct memory *memory, const struct loaded_routes *loaded) {
  size_t left = 0, at = 0;
  for (size_t i = 0; i < memory->count; i++) {
    while (at < loaded->file_count && strcmp(loaded->files[at].file, memory->files[i].file) < 0)
      at++;
    if (at < loaded->file_count && strcmp(loaded->files[at].file, memory->files[i].file) == 0)
      memory->files[left++] = memory->files[i];
    else
      file_memory_clear(&memory->files[i]);
  }
  memory->count = left;
}

void memory_clear_exclusions(struct memory *memory) {
  for (size_t i = 0; i < memory->count; i++)
    exclusion_clear(&memory->files[i]);
}

void memory_clear(struct memory *memory) {
  for (size_t i = 0; i < memory->count; i++)
    file_memory_clear(&memory->files[i]);
  free(memory->files);
  *memory = (struct memory){0};
}

const struct exclusion *memory_exclusion(const struct memory *memory, const char *file) {
  const struct file_memory *found = memory_find(memory, file);
  return found && found->exclusion.times > 0 ? &found->exclusion : NULL;
}

int loader_exclude_file(struct loader *loader, const char *file, const char *route, const char *field,
                        const char *message, bool waits) {
  struct file_memory *found = memory_enter(&loader->memory, file);
  struct fault fault;
  if (!found || fault_make(&fault, NULL, 0, route, field, message) < 0)
    return -ENOMEM;
  if (found->exclusion.times > 0)
    fault_clear(&found->exclusion.fault);
  found->exclusion.fault = fault;
  found->exclusion.times++;
  found->exclusion.waits = waits;
  return 0;
}

void loader_forget_exclusions(struct loader *loader) { memory_clear_exclusions(&loader->memory); }

int loader_list_failures(const struct loader *loader, struct fault_list *faults) {
  int status = 0;
  for (size_t i = 0; i < loader->memory.count && status == 0; i++)
    status = fault_list_append(faults, &loader->memory.files[i].failure.faults);
  return status;
}

static void forget_stamps(struct file_version *good) {
  if (!good)
    return;
  good->stamp.is_settled = false;
  for (size_t i = 0; i < good->modules.count; i++)
    good->modules.modules[i]->stamp.is_settled = false;
}

void loader_read_anew(struct loader *loader) {
  for (size_t i = 0; i < loader->memory.count; i++) {
    struct file_failure *failure = &loader->memory.files[i].failure;
    forget_stamps(loader->memory.files[i].committed);
    forget_stamps(loader->memory.files[i].fresh);
    for (size_t k = 0; k < failure->modules.count; k++)
      failure->modules.modules[k]->stamp.is_settled = false;
    if (!failure->lost || !blocking_is_lost(failure->lost)) /* it would hang once more */
      file_failure_clear(failure);
  }
}
