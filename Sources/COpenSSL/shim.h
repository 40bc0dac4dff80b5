// SHA256_Init and its fellows are marked deprecated in favour of EVP, which allocates for every message;
// a quote's token is a message of two blocks, and there may be a million of them a second.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/evp.h>
#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
