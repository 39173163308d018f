/* SPDX-License-Identifier: MIT
 *
 * The question "addresses": the control thread goes through the table that the workers share, a part of it at a time.
 */
#include "connection/limits.h"
#include "instance/instance.h"
#include "reports/listing.h"
#include "reports/reports.h"

#include <stdlib.h>
#include <string.h>

struct addresses_question {
  struct selection_query query;
  struct limits *limits;
  uint64_t block_ms;         /* limits.block_for, which no block outlasts */
  struct name_scope *scopes; /* of the names that there were, with texts of their own */
  char *texts;
  size_t scope_count;
};

struct address_entry {
  struct record_prefix address;
  unsigned scope;
  const char *scope_word, *route;
  unsigned connections;
  double rate;
  uint64_t refused, blocked_ms;
  bool blocked;
};

static void complete_address(void *record, const void *source) {
  const struct addresses_question *question = source;
  struct address_entry *entry = record;
  if (entry->scope < LIMIT_SCOPE_ROUTES)
    return;
  const char *text = name_scope_text(question->scopes, question->scope_count, entry->scope);
  entry->route = text ? text : "(removed)";
}

static const struct record_field address_fields[] = {
    RECORD_FIELD(address_entry, NULL, "address", address, 0),
    RECORD_FIELD(address_entry, NULL, "number", scope, RECORD_UNTOLD),
    RECORD_FIELD_AS(RECORD_WORD, address_entry, NULL, "scope", scope_word, 0),
    RECORD_FIELD(address_entry, NULL, "route", route, RECORD_COSTLY),
    RECORD_FIELD(address_entry, NULL, "connections", connections, 0),
    RECORD_FIELD(address_entry, NULL, "rate", rate, 0),
    RECORD_FIELD(address_entry, NULL, "refused", refused, 0),
    RECORD_FIELD_AS(RECORD_MS, address_entry, NULL, "blocked_for", blocked_ms, 0),
    RECORD_FIELD(address_entry, NULL, "blocked", blocked, RECORD_UNTOLD),
};

static const struct record_type address_record = {
    .size = sizeof(struct address_entry),
    .fields = address_fields,
    .field_count = sizeof address_fields / sizeof address_fields[0],
    .complete = complete_address,
};

struct addresses_found {
  struct selection selection;
  size_t shard;               /* the next */
  size_t remembered, blocked; /* of all that there are */
};

static void on_address(void *context, const struct limit_report *told) {
  struct ask_part *part = context;
  const struct addresses_question *question = part->ask->question;
  struct addresses_found *found = part->answer;
  uint64_t blocked_ms = told->blocked_ms < question->block_ms ? told->blocked_ms : question->block_ms;
  struct address_entry entry = {
      .address = {told->address, told->prefix},
      .scope = told->scope,
      .scope_word = told->scope == LIMIT_SCOPE_ALL        ? "all"
                    : told->scope == LIMIT_SCOPE_UNROUTED ? "unrouted"
                                                          : "route",
      .connections = told->connections,
      .rate = told->rate,
      .refused = told->refused,
      .blocked_ms = blocked_ms,
      .blocked = blocked_ms > 0,
  };
  found->remembered++;
  found->blocked += entry.blocked;
  selection_take(&found->selection, &question->query, &entry, question);
}

static bool addresses_step(struct ask_part *part) {
  const struct addresses_question *question = part->ask->question;
  struct addresses_found *found = part->answer;
  if (found->shard < LIMITS_SHARDS)
    limits_each_of(question->limits, found->shard++, loop_now(part->ask->asks->loop), on_address, part);
  return found->shard < LIMITS_SHARDS || listing_sort(part);
}

static struct value *addresses_report(struct ask *ask) {
  const struct addresses_found *found = ask->parts[0].answer;
  size_t count;
  struct value *root = value_table();
  void **page = listing_page(ask, root, &count);
  value_set_number(root, "remembered", (double)found->remembered);
  value_set_number(root, "blocked", (double)found->blocked);
  value_set_records(root, "addresses", &address_record, page, count);
  return root;
}

static void addresses_free_question(void *asked) {
  struct addresses_question *question = asked;
  free(question->scopes);
  free(question->texts);
  listing_free(question);
}

/* Names may go while the table is gone through. False without memory. */
static bool copy_scopes(struct addresses_question *question, const struct names *names) {
  size_t size = 1;
  question->scopes = names_scopes(names, &question->scope_count);
  for (size_t i = 0; i < question->scope_count; i++)
    size += strlen(question->scopes[i].text) + 1;
  char *text = question->texts = question->scopes ? malloc(size) : NULL;
  for (size_t i = 0; text && i < question->scope_count; i++) {
    size_t length = strlen(question->scopes[i].text) + 1;
    question->scopes[i].text = memcpy(text, question->scopes[i].text, length);
    text += length;
  }
  return question->texts != NULL;
}

void addresses_ask(struct instance *instance, const struct value *arguments, struct native_call *call) {
  static const struct ask_kind kind = {
      .answer_size = sizeof(struct addresses_found),
      .here = true,
      .step = addresses_step,
      .report = addresses_report,
      .clear = listing_clear,
      .free_question = addresses_free_question,
  };
  struct addresses_question *question = listing_new(sizeof *question, &address_record, arguments, call);
  if (!question)
    return;
  if (!copy_scopes(question, &instance->names)) {
    addresses_free_question(question);
    ask_refuse(call, 500, "no memory for the question");
    return;
  }
  question->limits = instance->threads.admission.limits;
  question->block_ms = instance->config.policy->block_ms;
  asks_begin(&instance->asks, &kind, question, call);
}
