// Builds a kustomization with kustomize's library and prints its manifests.
package main

import (
	"log"
	"os"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

func main() {
	made, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	text, err := made.AsYaml()
	if err != nil {
		log.Fatal(err)
	}
	os.Stdout.Write(text)
}
