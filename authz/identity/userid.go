package identity

import (
	"errors"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// UserID: the person says who they are. Anybody can say anything.
const UserID Kind = "user_id"

// ByUserID lets people sign in by what they say.
func ByUserID() Method {
	return Method{
		Kind: UserID, Form: "user-id", Label: "user ID, not verified",
		Messages: map[string]string{"user_id": "A user ID has 1 to 255 visible characters. Please type another one."},
		Prompt: func(*http.Request, bool) Prompt {
			return Prompt{
				Title: "User ID", Button: "Continue with user ID",
				Input: &Input{Name: "user_id", Type: "text", Label: "Your user ID", Autocomplete: "username", MaxLength: MaxUserID, Verbatim: true},
				Hint:  "A name you will use every time. Nobody checks it: on this site people go by what they say.",
			}
		},
		Identify: func(r *http.Request) (storage.Identity, error) {
			id, err := FromUserID(r.PostForm.Get("user_id"))
			if err != nil {
				return storage.Identity{}, &Denied{Code: "user_id", Cause: err}
			}
			return id, nil
		},
	}
}

// MaxUserID is how many characters a self-declared user id may have.
const MaxUserID = 255

// errUserID: the text cannot be a user id.
var errUserID = errors.New("identity: not a user id")

// FromUserID returns the identity a person declares. White space around the
// text is dropped; nothing else is changed, so that two people who see
// different ids never share a subject. What a person could not see is refused
// for the same reason: control and format characters, such as zero-width ones
// and those that turn the direction of writing.
func FromUserID(text string) (storage.Identity, error) {
	id := strings.TrimSpace(text)
	if id == "" || !utf8.ValidString(id) || utf8.RuneCountInString(id) > MaxUserID {
		return storage.Identity{}, errUserID
	}
	if strings.ContainsFunc(id, invisible) {
		return storage.Identity{}, errUserID
	}
	return storage.Identity{Kind: string(UserID), Subject: subject(UserID, id), Name: id}, nil
}

func invisible(r rune) bool {
	return r != ' ' && (!unicode.IsPrint(r) || unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r) ||
		unicode.Is(unicode.Variation_Selector, r))
}
