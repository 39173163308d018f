/* SPDX-License-Identifier: MIT
 *
 * The question "groups": what a worker does for it, and the answer. */
#include "reports/groups.h"

#include "instance/instance.h"
#include "reports/connections.h"
#include "reports/selection_private.h"
#include "reports/workers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { GROUPS_PIECE = 64 /* connections that a worker looks at before its next events */ };

struct grouping {
  char *name;
  struct selection_query query; /* its order is what makes one older than another */
  struct group_way ways[GROUP_WAYS];
  size_t way_count;
};

struct groups_question {
  size_t count;
  struct grouping of[GROUPINGS_MOST];
};

struct grouping_found {
  struct selection selection; /* the examples */
  struct group_table tables[GROUP_WAYS];
};

/* Of one worker. */
struct groups_found {
  struct worker_brief brief;
  bool walked, failed;
  size_t finished; /* ways, of all groupings one after the other */
  struct connection_walk walk;
  struct grouping_found *of; /* of each of the question's; NULL: no memory */
  size_t count;
};

/* --- what is asked --- */

static void groups_free_question(void *question) {
  struct groups_question *groups = question;
  for (size_t i = 0; i < groups->count; i++) {
    struct grouping *grouping = &groups->of[i];
    selection_query_deinit(&grouping->query);
    free(grouping->name);
    for (size_t k = 0; k < grouping->way_count; k++)
      free((char *)grouping->ways[k].name);
  }
  free(groups);
}

/* "waits.route waits.function" */
static int read_way(struct grouping *grouping, const struct value *value, struct error *error) {
  struct group_way *way = &grouping->ways[grouping->way_count];
  char words[128], *rest = words, *word;
  if (value->kind != VALUE_STRING || strlen(value->string) >= sizeof words || grouping->way_count == GROUP_WAYS)
    return error_set(error, EINVAL, "by: at most %d texts", GROUP_WAYS);
  way->name = strdup(value->string);
  if (!way->name)
    return error_set(error, ENOMEM, "no memory for the question");
  grouping->way_count++;
  strcpy(words, value->string);
  for (size_t i = 0; (word = strsep(&rest, " ")); i++)
    if (i == GROUP_FIELDS || !(way->fields[i] = record_find(&connection_whole_record, word)))
      return error_set(error, EINVAL, "by: there is nothing called \"%s\"", way->name);
  return 0;
}

static int read_grouping(struct grouping *grouping, const struct value *value, struct error *error) {
  const struct value *by = value_get(value, "by");
  const char *name = value_get_text(value, "name");
  int status = selection_query_init(&grouping->query, &connection_whole_record, value, error);
  if (status == 0 && (!name || !grouping->query.order))
    status = error_set(error, EINVAL, "a grouping has a name, and a sort");
  grouping->name = strdup(name ? name : "");
  if (status == 0 && !grouping->name)
    status = error_set(error, ENOMEM, "no memory for the question");
  for (const struct value *way = by ? by->first : NULL; way && status == 0; way = way->next)
    status = read_way(grouping, way, error);
  return status;
}

/* --- on the worker's thread --- */

static bool groups_begin(struct ask_part *part) {
  const struct groups_question *question = part->ask->question;
  struct groups_found *found = part->answer;
  worker_brief_take(&found->brief, part);
  connection_walk_begin(&found->walk, part->worker);
  found->of = calloc(question->count + 1, sizeof *found->of);
  found->count = question->count;
  return found->of != NULL;
}

static bool grouping_has(const struct grouping *grouping, const void *record) {
  for (size_t i = 0; i < grouping->query.clause_count; i++)
    if (!clause_passes(&grouping->query.clauses[i], record))
      return false;
  return true;
}

static void groups_take(const struct groups_question *question, struct groups_found *found,
                        struct connection_entry *entry) {
  for (size_t i = 0; i < question->count; i++) {
    const struct grouping *grouping = &question->of[i];
    struct grouping_found *of = &found->of[i];
    if (!grouping_has(grouping, entry))
      continue;
    selection_take(&of->selection, &grouping->query, entry, NULL);
    found->failed |= of->selection.failed;
    for (size_t way = 0; way < grouping->way_count; way++)
      if (!group_table_count(&of->tables[way], &grouping->ways[way], &connection_whole_record, grouping->query.order,
                             entry))
        found->failed = true;
  }
}

/* The next way of a grouping is cut down to what is sent. True: there are more. */
static bool groups_finish(const struct groups_question *question, struct groups_found *found) {
  size_t number = found->finished++, i = number / GROUP_WAYS, way = number % GROUP_WAYS;
  if (i >= question->count)
    return false;
  if (way == 0)
    selection_sort(&found->of[i].selection, &question->of[i].query, SIZE_MAX);
  group_table_cut(&found->of[i].tables[way], NULL, GROUPS_SENT);
  return true;
}

static bool groups_step(struct ask_part *part) {
  const struct groups_question *question = part->ask->question;
  struct groups_found *found = part->answer;
  if (!part->begun && !groups_begin(part)) {
    found->failed = found->walked = true;
    return false;
  }
  if (found->walked)
    return groups_finish(question, found);
  for (size_t i = 0; i < GROUPS_PIECE && !found->walked; i++) {
    struct connection *connection = connection_walk_next(&found->walk, part->worker);
    struct connection_entry entry;
    found->walked = !connection;
    if (!connection || connection->state == CONNECTION_CLOSED)
      continue;
    connection_entry_fill(&entry, connection);
    connection_record.complete(&entry, connection);
    groups_take(question, found, &entry);
  }
  return true;
}

static void groups_give_up(struct ask_part *part) { connection_walk_end(&((struct groups_found *)part->answer)->walk); }

static void groups_clear(void *answer) {
  struct groups_found *found = answer;
  for (size_t i = 0; found->of && i < found->count; i++) {
    selection_clear(&found->of[i].selection);
    for (size_t way = 0; way < GROUP_WAYS; way++)
      group_table_clear(&found->of[i].tables[way]);
  }
  free(found->of);
}

/* --- the answer --- */

static void write_since(struct value *row, const char *key, const struct grouping *grouping, const void *record) {
  value_set_number(row, key, (double)record_number(grouping->query.order, record) / 1000);
}

static void write_way(struct value *list, struct ask *ask, size_t number, size_t way, uint64_t left) {
  const struct groups_question *question = ask->question;
  const struct grouping *grouping = &question->of[number];
  struct group_table all = {.count = 0};
  for (size_t i = 0; i < ask->count; i++) {
    struct groups_found *found = ask->parts[i].answer;
    if (!ask->parts[i].away && found->of)
      group_table_merge(&all, &found->of[number].tables[way], &grouping->ways[way], grouping->query.order);
  }
  group_table_cut(&all, &grouping->ways[way], GROUPS_TOLD);
  for (size_t i = 0; i < all.count; i++) {
    struct value *row = value_set_table(list, NULL);
    connection_entry_bound(all.groups[i]->oldest, left);
    value_set_number(row, "count", (double)all.groups[i]->count);
    write_since(row, "since", grouping, all.groups[i]->oldest);
    value_set_record(row, &connection_whole_record, all.groups[i]->oldest);
  }
  group_table_clear(&all);
}

static void write_examples(struct value *row, struct ask *ask, size_t number, uint64_t left) {
  const struct groups_question *question = ask->question;
  struct selection **selections = calloc(ask->count + 1, sizeof *selections);
  size_t parts = 0, matched = 0, count = 0;
  for (size_t i = 0; selections && i < ask->count; i++) {
    struct groups_found *found = ask->parts[i].answer;
    if (ask->parts[i].away || !found->of)
      continue;
    selections[parts] = &found->of[number].selection;
    matched += selections[parts++]->matched;
  }
  void **page = selections ? selections_merge(selections, parts, &question->of[number].query, &count) : NULL;
  for (size_t i = 0; page && i < count; i++)
    connection_entry_bound(page[i], left);
  free(selections);
  value_set_number(row, "count", (double)matched);
  if (page && count > 0)
    write_since(row, "oldest", &question->of[number], page[0]);
  value_set_records(row, "examples", &connection_whole_record, page, page ? count : 0);
}

static struct value *groups_report(struct ask *ask) {
  const struct groups_question *question = ask->question;
  uint64_t left = connections_time_left(ask->asks->context);
  struct value *root = value_table(), *list = value_set_table(root, "groupings");
  bool complete = ask_is_complete(ask);
  for (size_t i = 0; i < ask->count; i++)
    complete = complete && !((struct groups_found *)ask->parts[i].answer)->failed;
  for (size_t i = 0; i < question->count; i++) {
    const struct grouping *grouping = &question->of[i];
    struct value *row = value_set_table(list, grouping->name), *by = value_set_table(row, "by");
    write_examples(row, ask, i, left);
    for (size_t way = 0; way < grouping->way_count; way++)
      write_way(value_set_table(by, grouping->ways[way].name), ask, i, way, left);
  }
  value_set_boolean(root, "complete", complete);
  value_set_number(root, "time", clock_wall(ask->asks->loop->clock));
  ask_write_workers(ask, root);
  return root;
}

void groups_ask(struct instance *instance, const struct value *arguments, struct native_call *call) {
  static const struct ask_kind kind = {.answer_size = sizeof(struct groups_found),
                                       .brief = &worker_brief_record,
                                       .step = groups_step,
                                       .give_up = groups_give_up,
                                       .report = groups_report,
                                       .clear = groups_clear,
                                       .free_question = groups_free_question};
  struct groups_question *question = calloc(1, sizeof *question);
  struct error error;
  int status = question ? 0 : error_set(&error, ENOMEM, "no memory for the question");
  for (const struct value *value = arguments->first; value && status == 0; value = value->next)
    status = question->count == GROUPINGS_MOST ? error_set(&error, EINVAL, "at most %d groupings", GROUPINGS_MOST)
                                               : read_grouping(&question->of[question->count++], value, &error);
  if (status == 0) {
    asks_begin(&instance->asks, &kind, question, call);
    return;
  }
  if (question)
    groups_free_question(question);
  ask_refuse(call, status == -ENOMEM ? 500 : 400, error.message);
}
