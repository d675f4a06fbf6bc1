// Package config reads the one configuration file of `kosmoscope serve`: strict
// YAML, in which every unknown or misspelt key is an error that names its line.
//
// A value that must not stand in the file can be read from elsewhere, at any
// place where a plain value may stand:
//
//	license_key: { from_env: KOSMOS_LICENSE_KEY }
//	license_key: { from_file: /run/secrets/kosmos-license }
//
// Relative paths are taken from the folder of the file.
package config
