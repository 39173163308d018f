/* SPDX-License-Identifier: MIT
 *
 * A text that is to become a route file: whether it would load. */
#include "loading/load_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Beside what is live of the others: the schema is asked only about those that name a route as this one does. */
static int compare_order(struct load_run *run, const struct file_version *good, const char *path,
                         struct fault_list *faults) {
  const struct memory *memory = &run->loader->memory;
  struct fault_list unused = {0};
  struct hash_set names;
  bool clash = false;
  int status = hash_set_init(&names, good->claims.name_count);
  if (status == 0) {
    hash_set_enter(&names, good->claims.names, good->claims.name_count);
    status = schema_index_begin(run->loader);
  }
  for (size_t i = 0; i < memory->count && status == 0; i++) {
    const struct file_version *other = memory->files[i].committed;
    pace_breathe(run->pace);
    if (!other || strcmp(other->file, good->file) == 0 ||
        !hash_set_has_any(&names, other->claims.names, other->claims.name_count))
      continue;
    char *other_path = path_join(run->config->routes, other->file);
    clash = true;
    status = other_path ? schema_index_admit(run->loader, other->schema_id, other_path, &unused, &unused) : -ENOMEM;
    free(other_path);
  }
  if (status == 0 && clash)
    status = schema_index_admit(run->loader, good->schema_id, path, faults, &unused);
  hash_set_deinit(&names);
  fault_list_clear(&unused);
  return status;
}

/* The table of a file's routes; keeps its version alive. 0 or a negative errno with a fault. */
static int make_table(const struct file_version *good, const char *path, struct fault_list *faults,
                      struct route_table **table) {
  struct error error;
  struct script_version *version = good->version ? script_version_ref(good->version) : NULL;
  *table = route_table_new(good->routes, good->route_count, &version, version ? 1 : 0, script_version_unref, &error);
  if (*table)
    return 0;
  if (version)
    script_version_unref(version);
  return fault_list_add(faults, path, 0, NULL, NULL, error.message);
}

static void forget_last(struct loader *loader) {
  if (loader->candidate)
    memory_forget_fresh(&loader->memory, loader->candidate);
  free(loader->candidate);
  loader->candidate = NULL;
}

/* What has been made of it is what the load makes of the file, once it is in its place. 0 or -ENOMEM. */
static int candidate_keep(struct loader *loader, struct file_version *good) {
  struct file_memory *memory = memory_enter(&loader->memory, good->file);
  loader->candidate = memory ? strdup(good->file) : NULL;
  if (!loader->candidate)
    return -ENOMEM;
  load_keep_fresh(memory, good);
  return 0;
}

int loader_find_candidate_line(struct loader *loader, const char *name, const char *route, const char *field) {
  const struct file_memory *memory = memory_find(&loader->memory, name);
  return memory && memory->fresh ? schema_find_line(loader, memory->fresh->schema_id, route, field) : 0;
}

static int candidate_check(struct load_run *run, const char *name, const char *path, const char *text, size_t size,
                           struct fault_list *faults, struct route_table **table) {
  char *own_path = strdup(path), *own_text = malloc(size + 1);
  struct source source = {.path = own_path, .text = own_text, .size = size};
  struct file_version *good = NULL;
  struct fault_list warnings = {0};
  int status = own_path && own_text ? 0 : -ENOMEM;
  if (status == 0) {
    if (size > 0)
      memcpy(own_text, text, size);
    status = load_file(run, name, &source, run->workers, NULL, &good, NULL, faults, &warnings);
  }
  if (status == 0)
    status = compare_order(run, good, path, faults);
  if (status == 0 && faults->count == 0 && table)
    status = make_table(good, path, faults, table);
  if (status == 0 && faults->count == 0 && candidate_keep(run->loader, good) == 0) {
    good->warnings = warnings;
    warnings = (struct fault_list){0};
  } else if (good) {
    schema_forget_version(run->loader, good->schema_id);
  }
  file_version_unref(good);
  fault_list_clear(&warnings);
  source_clear(&source);
  return status;
}

int loader_check_candidate(struct loader *loader, const struct config *config, const char *name, const char *text,
                           size_t size, struct fault_list *faults, struct route_table **table) {
  size_t before = faults->count;
  struct load_run run;
  char *path = path_join(config->routes, name);
  int status = path ? 0 : -ENOMEM;
  if (status == 0 && !route_file_is_writable(name)) {
    status =
        fault_list_add(faults, name, 0, NULL, NULL,
                       "is no name of a route file: letters, digits, \"-\", \"_\" and \".\", not more than 128, and "
                       "in the end \".lua\"");
  } else if (status == 0 && size > LOAD_MAX_FILE) {
    status = fault_list_add(faults, path, 0, NULL, NULL, "is larger than 8 MiB: keep large data elsewhere");
  } else if (status == 0) {
    status = load_run_init(&run, loader, config, config->workers, NULL);
    run.kind = LOAD_CANDIDATE;
    if (status == 0) {
      forget_last(loader);
      status = candidate_check(&run, name, path, text, size, faults, table);
      status = load_run_deinit(&run, status);
    }
  }
  free(path);
  if (status == -ECANCELED)
    return status;
  if (faults->count > before)
    return -EINVAL;
  return status == -EINVAL ? -ENOMEM : status;
}
