/* SPDX-License-Identifier: MIT
 *
 * What the files about explaining share: explain.c has the question and the table, explain_answer.c the routes one by
 * one, and explain_trial.c what the corridor's steps say. What it all means is said in lua/moongate/explain/. */
#pragma once

#include "connection/trial.h"
#include "reports/reports.h"
#include "routing/cases.h"
#include "routing/domain.h"

struct instance;

enum { EXPLAIN_CLIENTS = 64 };

/* What is asked, of which port. */
struct explained {
  struct route_table *table;
  const struct table_port *port;
  struct route_question question;
  struct ip_address address; /* that it comes in on; not set: not said */
  unsigned open;             /* bits of enum route_open: what is not said */
  size_t limit;              /* candidates that are told one by one, beside the chosen one */
  struct instance *instance; /* whose files have versions; NULL: offline */
  struct clock *clock;
  char domain[DOMAIN_SIZE + 1]; /* what the question's points to */
};

/* What goes through the corridor for the question, and what was said. All zero before. */
struct explain_trials {
  struct ip_address clients[EXPLAIN_CLIENTS]; /* where the client is open: beside any other one, one of each kind */
  size_t client_count;
  struct trial_record first;  /* of the first run */
  const struct route **whens; /* that it asked, in their order */
  size_t when_room;
  struct trial_refusal refusals[TRIAL_REFUSALS * 2]; /* of those that get no route, each way once */
  size_t refusal_count;
};

/* Runs the first, which is the only one where nothing is open. 0 or -ENOMEM. */
int explain_try(struct explain_trials *trials, const struct explained *explained, struct trial *trial);

/* A route that asks for a client that is open. */
void explain_add_clients(struct explain_trials *trials, const struct route *route);

/* Runs the others, when all clients are known, as long as the trial has time; the refusals that were found are told. 0
 * or -ENOMEM. */
int explain_try_others(struct explain_trials *trials, const struct explained *explained, struct trial *trial);

void explain_trials_write(struct value *root, const struct explained *explained, const struct explain_trials *trials);
void explain_trials_deinit(struct explain_trials *trials);

/* Writes the candidates, the cases, and what the trials say. 0 or -ENOMEM. */
int explain_candidates(struct value *root, const struct explained *explained);
