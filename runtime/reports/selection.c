/* SPDX-License-Identifier: MIT
 *
 * Keeping the first of many: a heap, which is sorted in the end. The clauses are in selection_query.c. */
#include "reports/selection_private.h"

#include <stdlib.h>
#include <string.h>

void selection_clear(struct selection *selection) {
  for (size_t i = 0; i < selection->count; i++)
    free(selection->records[i]);
  free(selection->records);
  *selection = (struct selection){.records = NULL};
}

/* Below 0: `a` comes first. */
static int compare_in_order(const struct selection_query *query, const void *a, const void *b) {
  int order = query->order ? record_compare(query->order, a, b) : 0;
  if (order != 0)
    return query->descending ? -order : order;
  order = record_compare(&query->type->fields[0], a, b);
  return order ? order : record_compare(&query->type->fields[1], a, b);
}

static void selection_swap(struct selection *selection, size_t a, size_t b) {
  void *record = selection->records[a];
  selection->records[a] = selection->records[b];
  selection->records[b] = record;
}

static void sift_up(struct selection *selection, const struct selection_query *query, size_t at) {
  void **records = selection->records;
  for (size_t above; at > 0 && compare_in_order(query, records[above = (at - 1) / 2], records[at]) < 0; at = above)
    selection_swap(selection, above, at);
}

static void sift_down(struct selection *selection, const struct selection_query *query, size_t at) {
  void **records = selection->records;
  for (size_t below; (below = 2 * at + 1) < selection->heap; at = below) {
    if (below + 1 < selection->heap && compare_in_order(query, records[below], records[below + 1]) < 0)
      below++;
    if (compare_in_order(query, records[at], records[below]) >= 0)
      return;
    selection_swap(selection, at, below);
  }
}

static bool selection_make_room(struct selection *selection) {
  enum { ROOM_AT_FIRST = 64 };
  if (selection->count < selection->room)
    return true;
  size_t room = selection->room ? 2 * selection->room : ROOM_AT_FIRST;
  void **records = realloc(selection->records, room * sizeof *records);
  if (!records)
    return false;
  selection->records = records;
  selection->room = room;
  return true;
}

bool selection_passes(struct selection *selection, const struct selection_query *query, void *record,
                      const void *source) {
  selection->completed = !query->type->complete;
  for (size_t i = 0; i < query->clause_count; i++) {
    const struct clause *clause = &query->clauses[i];
    if (clause->field->flags & RECORD_COSTLY && !selection->completed) {
      query->type->complete(record, source);
      selection->completed = true;
    }
    if (!clause_passes(clause, record))
      return false;
  }
  return true;
}

void selection_take(struct selection *selection, const struct selection_query *query, void *record,
                    const void *source) {
  size_t most = query->limit > 0 ? query->limit + query->offset : 0;
  if (!selection_passes(selection, query, record, source))
    return;
  selection->matched++;
  bool full = selection->count == most;
  if (most == 0 || (full && compare_in_order(query, record, selection->records[0]) >= 0))
    return;
  if (!selection->completed)
    query->type->complete(record, source);
  void *copy = full || selection_make_room(selection) ? record_copy(query->type, record) : NULL;
  if (!copy) {
    selection->failed = true;
    return;
  }
  if (full) {
    free(selection->records[0]);
    selection->records[0] = copy;
    sift_down(selection, query, 0);
    return;
  }
  selection->records[selection->count++] = copy;
  selection->heap = selection->count;
  sift_up(selection, query, selection->count - 1);
}

/* The last of those that are left goes behind them, so that in the end they stand in order. */
bool selection_sort(struct selection *selection, const struct selection_query *query, size_t most) {
  for (; selection->heap > 0 && most > 0; most--) {
    selection_swap(selection, 0, --selection->heap);
    sift_down(selection, query, 0);
  }
  return selection->heap == 0;
}

void **selections_merge(struct selection *const *selections, size_t count, const struct selection_query *query,
                        size_t *found) {
  void **page = malloc((query->limit + 1) * sizeof *page);
  size_t *next = calloc(count + 1, sizeof *next), place = 0;
  *found = 0;
  while (page && next && *found < query->limit) {
    size_t first = count;
    for (size_t i = 0; i < count; i++)
      if (next[i] < selections[i]->count &&
          (first == count ||
           compare_in_order(query, selections[i]->records[next[i]], selections[first]->records[next[first]]) < 0))
        first = i;
    if (first == count)
      break;
    void **record = &selections[first]->records[next[first]++];
    if (place++ < query->offset)
      continue;
    page[(*found)++] = *record;
    *record = NULL;
  }
  if (!next) {
    free(page);
    page = NULL;
  }
  free(next);
  return page;
}
