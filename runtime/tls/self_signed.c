/* SPDX-License-Identifier: MIT
 *
 * A certificate made for the occasion (RFC 5280), with the fields that clients insist on. */
#include "tls/context.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DAYS = 30, DAY_SECONDS = 24 * 60 * 60, CLOCK_SKEW = 60 * 60, NAME_SIZE = 256 };

static int add_extension(X509 *certificate, int kind, const char *value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
  X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, kind, value);
  int ok = extension != NULL && X509_add_ext(certificate, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  return ok ? 0 : -ENOMEM;
}

/* A serial number that no two have in common. */
static int set_serial(X509 *certificate) {
  uint64_t serial;
  if (RAND_bytes((unsigned char *)&serial, sizeof serial) != 1)
    return -EIO;
  return ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), serial >> 1) == 1 ? 0 : -ENOMEM;
}

static int fill(X509 *certificate, EVP_PKEY *key, const char *name) {
  char alternative[NAME_SIZE + 8];
  X509_NAME *subject = X509_get_subject_name(certificate);
  int status = set_serial(certificate);
  if (status != 0)
    return status;
  snprintf(alternative, sizeof alternative, "DNS:%.*s", NAME_SIZE, name);
  bool ok = X509_set_version(certificate, X509_VERSION_3) == 1 &&
            X509_gmtime_adj(X509_getm_notBefore(certificate), -CLOCK_SKEW) != NULL &&
            X509_gmtime_adj(X509_getm_notAfter(certificate), (long)DAYS * DAY_SECONDS) != NULL &&
            X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)name, -1, -1, 0) == 1 &&
            X509_set_issuer_name(certificate, subject) == 1 && X509_set_pubkey(certificate, key) == 1;
  if (!ok || add_extension(certificate, NID_subject_alt_name, alternative) != 0 ||
      add_extension(certificate, NID_basic_constraints, "critical,CA:FALSE") != 0 ||
      add_extension(certificate, NID_ext_key_usage, "serverAuth") != 0)
    return -ENOMEM;
  return X509_sign(certificate, key, EVP_sha256()) > 0 ? 0 : -EIO;
}

/* What was written, as a string of the caller's. */
static char *text_of(BIO *writer) {
  char *bytes;
  long size = BIO_get_mem_data(writer, &bytes);
  char *text = size > 0 ? malloc((size_t)size + 1) : NULL;
  if (text) {
    memcpy(text, bytes, (size_t)size); /* there is no NUL behind them */
    text[size] = '\0';
  }
  return text;
}

int tls_self_signed(const char *name, char **certificate_text, char **key_text) {
  EVP_PKEY *key = EVP_EC_gen("P-256");
  X509 *certificate = X509_new();
  BIO *certificate_writer = BIO_new(BIO_s_mem()), *key_writer = BIO_new(BIO_s_mem());
  int status = -ENOMEM;
  *certificate_text = *key_text = NULL;
  if (key == NULL || certificate == NULL || certificate_writer == NULL || key_writer == NULL)
    goto done;
  status = fill(certificate, key, name);
  if (status != 0)
    goto done;
  status = -ENOMEM;
  if (PEM_write_bio_X509(certificate_writer, certificate) != 1 ||
      PEM_write_bio_PrivateKey(key_writer, key, NULL, NULL, 0, NULL, NULL) != 1)
    goto done;
  *certificate_text = text_of(certificate_writer);
  *key_text = text_of(key_writer);
  if (*certificate_text != NULL && *key_text != NULL)
    status = 0;
done:
  if (status != 0) {
    free(*certificate_text);
    free(*key_text);
    *certificate_text = *key_text = NULL;
  }
  EVP_PKEY_free(key);
  X509_free(certificate);
  BIO_free(certificate_writer);
  BIO_free(key_writer);
  ERR_clear_error();
  return status;
}
