package keys

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// EncryptionKeyEnv is the environment variable that may hold the
// key-encryption key instead of a file.
const EncryptionKeyEnv = "CAMBIO_KEY_ENCRYPTION_KEY"

const encryptionKeySize = 32 // bytes: AES-256

// EncryptionKey seals and unseals private keys (AES-256-GCM, random nonce).
type EncryptionKey struct {
	aead cipher.AEAD
	raw  []byte
}

// ParseEncryptionKey reads 32 bytes in base64, as in the file and in the
// environment variable. Surrounding white space is ignored.
func ParseEncryptionKey(text string) (*EncryptionKey, error) {
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil || len(raw) != encryptionKeySize {
		return nil, fmt.Errorf("a key-encryption key is %d bytes in base64; make one with `openssl rand -base64 32`", encryptionKeySize)
	}
	block, err := aes.NewCipher(raw)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	return &EncryptionKey{aead, raw}, err
}

// LoadEncryptionKey reads the key-encryption key from a file, or from the
// environment variable when path is empty. A file that others can read is
// refused.
func LoadEncryptionKey(path string) (*EncryptionKey, error) {
	if path == "" {
		text := os.Getenv(EncryptionKeyEnv)
		if text == "" {
			return nil, errors.New("no key-encryption key: set keys.encryption_key_file, or the environment variable " + EncryptionKeyEnv)
		}
		return ParseEncryptionKey(text)
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the key-encryption key %s is missing; restore it from your copy if there is a database or a backup already, else let `cambio bootstrap` make it", path)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the key-encryption key: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("the key-encryption key %s can be read by others (mode %04o); run: chmod 600 %s", path, info.Mode().Perm(), path)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the key-encryption key: %w", err)
	}
	k, err := ParseEncryptionKey(string(raw))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return k, nil
}

// CreateEncryptionKeyFile makes a new key-encryption key in a new file of
// mode 0600. It never replaces a file: created is false when one exists.
func CreateEncryptionKeyFile(path string) (created bool, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return false, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var raw [encryptionKeySize]byte
	_, _ = rand.Read(raw[:]) // never fails (crypto/rand)
	if _, err = f.WriteString(base64.StdEncoding.EncodeToString(raw[:]) + "\n"); err == nil {
		err = f.Sync()
	}
	return true, errors.Join(err, f.Close())
}

// Derive makes a 32-byte key for another purpose (HKDF-SHA-256), so that
// processes which share the key-encryption key share it too.
func (k *EncryptionKey) Derive(purpose string) ([]byte, error) {
	return hkdf.Key(sha256.New, k.raw, nil, "cambio "+purpose, encryptionKeySize)
}

// seal encrypts a private key for storage under a label, which binds it to
// its row: a sealed key moved to another row does not open.
func (k *EncryptionKey) seal(plain []byte, label string) []byte {
	nonce := make([]byte, k.aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails (crypto/rand)
	return k.aead.Seal(nonce, nonce, plain, []byte(label))
}

func (k *EncryptionKey) open(sealed []byte, label string) ([]byte, error) {
	n := k.aead.NonceSize()
	if len(sealed) < n {
		return nil, errors.New("the sealed key is truncated")
	}
	plain, err := k.aead.Open(nil, sealed[:n], sealed[n:], []byte(label))
	if err != nil {
		return nil, errors.New("the key-encryption key does not open it, or it was altered")
	}
	return plain, nil
}

// AuditKey is the key that signs checkpoints of the audit trail (Ed25519). All
// processes with the same key-encryption key have the same one.
func (k *EncryptionKey) AuditKey() (ed25519.PrivateKey, error) {
	seed, err := k.Derive("audit checkpoints")
	if err != nil {
		return nil, err
	}
	return ed25519.NewKeyFromSeed(seed), nil
}
