package identity

import (
	"net/http"

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
				Inputs: []Input{{Name: "user_id", Type: "text", Label: "Your user ID", Autocomplete: "username", MaxLength: MaxName, Verbatim: true}},
				Hint:   "A name you will use every time. Nobody checks it: on this site people go by what they say.",
			}
		},
		Identify: func(r *http.Request) (storage.Identity, error) {
			id, err := fromUserID(r.PostForm.Get("user_id"))
			if err != nil {
				return storage.Identity{}, &Denied{Code: "user_id", Cause: err}
			}
			return id, nil
		},
	}
}

// fromUserID returns the identity a person declares.
func fromUserID(text string) (storage.Identity, error) {
	name, err := CleanName(text)
	if err != nil {
		return storage.Identity{}, err
	}
	return storage.Identity{Kind: string(UserID), Subject: subject(UserID, name), Name: name}, nil
}
